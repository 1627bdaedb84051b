# What prompts and editors show of the databases, for POSIX shells: "in step", "out of step: …" or
# "failed", as `manage.py migrations_status --short` says it, from what the hooks know. Prints nothing
# where they don't know it. Starts no Python.

# Magit sets these variables; with them git reads pathspecs differently.
unset GIT_LITERAL_PATHSPECS GIT_GLOB_PATHSPECS GIT_NOGLOB_PATHSPECS GIT_ICASE_PATHSPECS
# No command of the user has to wait because of a prompt.
GIT_OPTIONAL_LOCKS=0
export GIT_OPTIONAL_LOCKS

home=${0%/*}
case $home in /*) ;; *) home=$PWD/$home ;; esac
{ read -r head && IFS= read -r top && IFS= read -r git_dir; } <<END || exit 0
$(git rev-parse HEAD --show-toplevel --absolute-git-dir 2>/dev/null)
END
cd "$top" || exit 0
# `migrate` and switches take the time to find out what it would show where somebody has it shown.
[ -e "$home/asked" ] || (: >"$home/asked") 2>/dev/null

# The words of a project. `migrations_hook install` has written down its $script and $pathspecs.
words_of_project() {
    . "$1"
    project=${1%/caller.sh}
    state=$git_dir/django-devtools${project#"$home"}
    [ -f "$script" ] || return
    if [ -e "$state/failed" ]; then
        echo failed
        return
    fi
    worked_on=/dev/null
    if ! read -r in_step 2>/dev/null <"$state/in-step"; then
        worked_on=$state/worked-on
        read -r in_step 2>/dev/null <"$worked_on" || return
    fi
    case $in_step in '' | *[!0-9a-f]*) return ;; esac # It is no commit.
    eval "set -- $pathspecs"

    committed=
    [ "$head" = "$in_step" ] ||
        committed=$(git diff --no-renames --name-status "$in_step" HEAD -- "$@" 2>/dev/null) ||
        return
    # Git looks at so few files that threads would cost more than they save.
    uncommitted=$(
        git -c core.preloadIndex=false status --porcelain --no-renames --untracked-files=all \
            -- "$@" 2>/dev/null
    ) || return

    apply=0
    unapply=0
    changed=0
    is_known=yes
    seen=
    look_at_what_was_worked_on <"$worked_on"
    while IFS='	' read -r letter file; do
        [ -z "$letter" ] || was_seen "$file" || look_at "$letter" "$file"
    done <<END
$committed
END
    while IFS= read -r line; do
        [ -n "$line" ] || continue
        file=${line#???}
        ! was_seen "$file" || continue
        # Of what is in both, neither says what became of it.
        case $committed in *"	$file"*) return ;; esac
        look_at "${line%"${line#??}"}" "$file"
    done <<END
$uncommitted
END

    said=
    [ $apply = 0 ] || said="$said, $apply to apply"
    [ $unapply = 0 ] || said="$said, $unapply to unapply"
    [ $changed = 0 ] || said="$said, $changed changed"
    if [ -n "$said" ]; then
        echo "out of step: ${said#, }"
    elif [ -n "$is_known" ]; then
        echo "in step"
    fi
}

# Of what was not committed when the databases were in step, only what became of it since counts.
look_at_what_was_worked_on() {
    read -r _ # the commit
    while read -r blob file; do
        seen="$seen
$file
"
        if [ ! -f "$file" ]; then
            [ "$blob" = - ] || look_at D "$file"
        elif [ "$blob" = - ]; then
            look_at A "$file"
        else
            [ "$(git hash-object -- "$file" 2>/dev/null)" = "$blob" ] || look_at M "$file"
        fi
    done
}

was_seen() {
    name=${1#\"} # Git puts names with spaces in quotes.
    case $seen in *"
${name%\"}
"*) return 0 ;; esac
    return 1
}

# Look at a file by the letters of git: one for what was committed, two for index and work tree.
look_at() {
    file=${2#\"} # Git puts odd names in quotes.
    file=/${file%\"}
    if are_settings; then
        [ ${#1} = 2 ] || is_known= # The hooks mind settings only when they are committed.
    elif is_migration; then
        case $1 in
            A | 'A ' | AM | ' A' | '??') apply=$((apply + 1)) ;;
            D | 'D ' | ' D') unapply=$((unapply + 1)) ;;
            *) changed=$((changed + 1)) ;;
        esac
    else
        is_known=
    fi
}

are_settings() {
    case $file in
        */migrations/*) return 1 ;;
        */settings/* | */settings*.py) ;;
        *) return 1 ;;
    esac
}

# Whether Django takes it for a migration.
is_migration() {
    case $file in */migrations/*/*) return 1 ;; esac
    case ${file##*/} in
        [_~]*) return 1 ;;
        *.py) ;;
        *) return 1 ;;
    esac
}

# Of several projects in the repository, the one counts that needs somebody most.
out_of_step=
in_step=
unknown=
for caller in "$home"/caller.sh "$home"/*/caller.sh; do
    [ -f "$caller" ] || continue
    words=$(words_of_project "$caller")
    case $words in
        failed)
            echo failed
            exit 0
            ;;
        'out of step'*) out_of_step=$words ;;
        'in step') in_step=$words ;;
        *) unknown=yes ;;
    esac
done
if [ -n "$out_of_step" ]; then
    echo "$out_of_step"
elif [ -n "$in_step" ] && [ -z "$unknown" ]; then
    echo "$in_step"
fi
