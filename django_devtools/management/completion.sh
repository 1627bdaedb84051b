# Completes what follows manage.py, in bash and zsh: branches and other refs, entries of the stash,
# snapshots, databases; commands and options as Django knows them.

if [ -n "${ZSH_VERSION-}" ]; then
    autoload -Uz bashcompinit && bashcompinit
fi

_django_devtools() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} first=0
    local -a manage
    COMPREPLY=()
    # In `uv run python manage.py`, the first word is another one. If there is none, the command has
    # a name that only its user knows.
    while [ "$first" -lt "$COMP_CWORD" ]; do
        case ${COMP_WORDS[first]} in manage.py | */manage.py) break ;; esac
        first=$((first + 1))
    done
    if [ "$first" -ge "$COMP_CWORD" ]; then
        case ${COMP_WORDS[0]##*/} in
            python* | uv | poetry | pdm | pipenv | hatch | docker | env) return ;;
        esac
        first=0
    fi
    [ "$COMP_CWORD" -gt "$first" ] || return
    manage=("${COMP_WORDS[@]:0:$((first + 1))}")
    # Bash makes words of their own of `=` and what follows.
    if [ "$word" = = ]; then
        word=
    elif [ "$before" = = ]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi

    case $before in
        --database) _django_devtools_values database migrations_status --json ;;
        --trust) _django_devtools_refs ;;
        --delete) _django_devtools_values branch migrations_snapshot --list --json ;;
        --irreversible) _django_devtools_offer "$(printf '%s\n' fail keep noop ask)" ;;
        --file | --older-than | --pythonpath) ;;
        *) _django_devtools_word "${COMP_WORDS[$((first + 1))]}" "$((COMP_CWORD - first))" ;;
    esac
}

# A word that is no value of an option.
_django_devtools_word() {
    case $1/$2/$word in
        */1/* | */-*) _django_devtools_django "$2" ;;
        migrations_switch/*) _django_devtools_refs ;;
        migrations_snapshot/*) _django_devtools_values branch migrations_snapshot --list --json ;;
        migrations_stash/2/*) _django_devtools_offer "$(printf '%s\n' list show restore drop)" ;;
        migrations_stash/*) _django_devtools_values id migrations_stash list --json ;;
        migrations_hook/2/*) _django_devtools_offer "$(printf '%s\n' install uninstall status doctor run)" ;;
        *) _django_devtools_django "$2" ;;
    esac
}

# Commands and options: Django itself can list them.
_django_devtools_django() {
    _django_devtools_offer "$(
        COMP_WORDS="${COMP_WORDS[*]:$first}" COMP_CWORD=$1 DJANGO_AUTO_COMPLETE=1 \
            command "${manage[@]}" 2>/dev/null | tr ' ' '\n' | sed 's/=$//'
    )"
}

_django_devtools_refs() {
    _django_devtools_offer "$(
        git for-each-ref --format='%(refname:short)' refs/heads refs/remotes refs/tags 2>/dev/null
    )"
}

# The values of a key in the JSON that a command prints, without those that are typed already.
_django_devtools_values() {
    local key=$1
    shift
    _django_devtools_offer "$(
        command "${manage[@]}" "$@" 2>/dev/null |
            sed -n 's/,$//; s/^    "'"$key"'": "\{0,1\}\([^"\\]*\)"\{0,1\}$/\1/p' | sort -u |
            grep -Fvx "$(printf '%s\n' "${COMP_WORDS[@]:0:$COMP_CWORD}")"
    )"
}

# Offer the lines that begin with the word. Names of branches may be anything, so they are quoted,
# and not given to compgen, which would expand them.
_django_devtools_offer() {
    local line
    while IFS= read -r line; do
        case $line in
            '') ;;
            "$word"*[!A-Za-z0-9._/-]*) COMPREPLY+=("$(printf %q "$line")") ;;
            "$word"*) COMPREPLY+=("$line") ;;
        esac
    done <<END
$1
END
}

complete -o default -F _django_devtools manage.py python python3
