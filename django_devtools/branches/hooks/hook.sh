# The body of the git hooks, for POSIX shells. Called with the name of the hook and its arguments.
# Each project of the repository has a file caller.sh, here or in a directory beside this file, which
# sets $directory, $python, $script, $programs, $pathspecs, $settings_option and $pythonpath_option.
# Starts Python for it unless DJANGO_DEVTOOLS_HOOK is 0, this is no git repository, only single files were checked
# out, a clone or work tree was just made, a rebase or bisect is under way, no migration or setting
# differs from those that its databases were last in step with, or, without the setting
# django-devtools.manage, its manage.py or $python is gone.

hook=$1
[ "${DJANGO_DEVTOOLS_HOOK-1}" != 0 ] || exit 0
git_dir=$(git rev-parse --absolute-git-dir) || exit 0
# Magit sets these variables; with them git reads pathspecs differently.
unset GIT_LITERAL_PATHSPECS GIT_GLOB_PATHSPECS GIT_NOGLOB_PATHSPECS GIT_ICASE_PATHSPECS

if [ "$hook" = post-checkout ]; then
    # Leave out checkouts of single files, and clones and new work trees: nothing was applied there.
    [ "$4" = 1 ] || exit 0
    case $2 in *[!0]*) ;; *) exit 0 ;; esac
fi
# Commits come and go until a rebase or bisect is done. Git calls post-rewrite before it cleans up.
if [ "$hook ${2-}" != "post-rewrite rebase" ]; then
    for doing in rebase-merge rebase-apply BISECT_LOG; do
        [ -e "$git_dir/$doing" ] || continue
        # A bisect that returns to its branch is done, and so is a rebase with nothing to pick.
        git symbolic-ref --quiet HEAD >/dev/null ||
            grep -qsx noop "$git_dir/rebase-merge/done" || exit 0
    done
fi

# Projects that look for the same files have git asked once.
is_in_step() {
    read -r in_step 2>/dev/null <"$state/in-step" || return 1
    case $in_step in '' | *[!0-9a-f]*) return 1 ;; esac # It is no commit.
    [ "$in_step $pathspecs" != "$same" ] || return 0
    eval 'git diff --quiet "$in_step" HEAD --' "$pathspecs" 2>/dev/null || return 1
    same="$in_step $pathspecs"
}

# What is said before the command speaks goes to a file: of a traceback, its last line says enough.
# The command empties the file, and then its words come out at once, by descriptor 4.
# A git client that was started from a menu has not the PATH of a terminal, which has uv and the like.
start() {
    trap : INT # Whatever is started hears it, too, and ends.
    PATH=$PATH${programs:+:$programs}
    if (echo "$nothing" >"$log") 2>/dev/null; then
        (DJANGO_DEVTOOLS_LOG=$log && export DJANGO_DEVTOOLS_LOG && "$@" </dev/null 4>&2 2>>"$log")
    else
        log=/dev/null
        ("$@" </dev/null)
    fi
    result=$?
}

# The $parent and the $words of the command line of a process. Where Linux has files about it, these take
# a tenth of the time of `ps`.
look_at() {
    if read -r about 2>/dev/null <"/proc/$1/stat"; then
        about=${about##*) ? } # Any name may stand in the parentheses, and before them the number.
        parent=${about%% *}
        words=$(tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline")
    else
        read -r parent words <<EOF
$(ps -o ppid= -o args= -p "$1" 2>/dev/null)
EOF
    fi
}

# Git tells no hook that it was asked to be quiet, but its command line does. Git is the parent of the
# block that has called this, or further above, if a tool calls the block.
is_quiet() {
    [ "${DJANGO_DEVTOOLS_HOOK-}" != quiet ] || return 0
    [ "$hook" = post-checkout ] || return 1
    process=${DJANGO_DEVTOOLS_GIT:-$PPID}
    for _ in 1 2 3 4 5; do
        look_at "$process"
        process=$parent
        case $words in
            '') return 1 ;;
            *git*\ checkout\ * | *git*\ switch\ *)
                case $words in *\ -q* | *\ --quiet*) return 0 ;; esac
                return 1
                ;;
        esac
    done
    return 1
}

# Each in place of the shell that calls it: by Ctrl-C, that would end before what it has started.
by_git_setting() {
    exec sh -c "$manage migrations_hook run $verbosity"
}

by_manage_py() {
    # Who runs git may want other settings now.
    [ -z "${DJANGO_SETTINGS_MODULE-}" ] || settings_option=
    cd "${script%/*}" &&
        eval 'exec "$python" "$@" "${script##*/}" migrations_hook run' \
            "$verbosity" "$settings_option" "$pythonpath_option"
}

knows_the_command() {
    ! grep -qs "Unknown command: 'migrations_hook'" "$log"
}

has_spoken() {
    ! grep -qsx "$nothing" "$log"
}

# Say why the databases were left alone, now, by the checks, and by `migrations_hook status`.
leave_alone() {
    rm -f "$state/in-step" "$state/worked-on" 2>/dev/null
    (printf '%s\n%s' "$1" "$2" >"$state/failed") 2>/dev/null
    printf '%s\n%s\n' "$prefix$1" "$2" >&2
}

# Git does not wait for hooks after Ctrl-C, and nobody else would say what that has left.
stop_by_ctrl_c() {
    leave_alone "The databases were left alone: interrupted before anything was changed." \
        "To continue, run \`$manage_py migrations_switch\`"
    exit 130
}

bring_in_step() {
    trap stop_by_ctrl_c INT
    log=$state/hook.log
    nothing="It said nothing."
    [ -d "$state" ] || mkdir -p "$state" 2>/dev/null
    verbosity=
    ! is_quiet || verbosity=--verbosity=0
    manage=
    [ "$directory" = . ] || manage=$(git config "django-devtools.$directory.manage")
    # If there is a project at the top, this is its own.
    if [ -z "$manage" ] && { [ "$directory" = . ] || [ ! -f "$home/caller.sh" ]; }; then
        manage=$(git config django-devtools.manage)
    fi
    if [ -n "$manage" ]; then
        start by_git_setting
    elif [ ! -f "$script" ]; then
        exit 0 # manage.py may exist on other branches only.
    elif command -v "$python" >/dev/null; then
        start by_manage_py
        # The first days of a project: most branches don't install the app yet.
        [ "$result" = 0 ] || knows_the_command || start by_manage_py -m django_devtools.branches.hooks.without_app
    else
        leave_alone "The databases were left alone: $python no longer exists." \
            "Run \`$manage_py migrations_hook install\` with the Python that replaced it."
        exit 0
    fi

    [ "$result" != 130 ] || [ -n "$manage" ] || has_spoken || stop_by_ctrl_c
    # In a container, the command can't empty the file. Whatever calls it may have a last word, too.
    if [ "$result" = 0 ] || grep -qs '^To continue, run' "$log" ||
        { has_spoken && [ -e "$state/failed" ]; }; then
        [ ! -s "$log" ] || grep -vx "$nothing" "$log" >&2
        rm -f "$state/hook.log"
    elif [ "$log" = /dev/null ]; then
        : # What was said came out at once.
    elif [ ! -s "$log" ] || [ "$result" -ge 128 ]; then
        leave_alone "The databases may not be in step: migrations_hook ended with status $result." \
            "To continue, run \`$manage_py migrations_switch\`"
        rm -f "$log"
    elif ! knows_the_command; then
        branch=$(git symbolic-ref --quiet --short HEAD || git rev-parse HEAD)
        # Whoever names a branch must not have others type a command of theirs.
        case $branch in *[!A-Za-z0-9._/-]*) branch=$(git rev-parse HEAD) ;; esac
        leave_alone \
            "The databases were left alone: django_devtools is not in INSTALLED_APPS on this branch." \
            "On a branch that has it, run \`$manage_py migrations_switch $branch\`"
    else
        last_line=$(LC_ALL=C sed -n '/[^[:space:]]/h; ${x; p;}' "$log")
        leave_alone \
            "The databases were left alone: django_devtools could not start manage.py. $last_line" \
            "To see all of it, run \`cat \"\$(git rev-parse --git-dir)/django-devtools$project/hook.log\"\`. To find out why, run \`$manage_py migrations_hook doctor\`. Once it starts, run \`$manage_py migrations_switch\`"
    fi
    return "$result"
}

# A path as it is typed.
quoted() {
    case $1 in
        *[!A-Za-z0-9._/-]*) printf '%s' "$1" | sed "s/'/'\"'\"'/g; 1s/^/'/; \$s/\$/'/" ;;
        *) printf '%s' "$1" ;;
    esac
}

# What the blocks of earlier versions read, instead of calling it, has another name in $0.
home=${django_devtools:-$0}
home=${home%/*}
set --
for caller in "$home"/caller.sh "$home"/*/caller.sh; do
    [ ! -f "$caller" ] || set -- "$@" "$caller"
done
same=
for caller; do
    programs= # Earlier versions did not write it.
    . "$caller"
    project=${caller%/caller.sh}
    project=${project#"$home"}
    state=$git_dir/django-devtools$project
    prefix=
    manage_py=manage.py
    if [ $# -gt 1 ]; then
        prefix="$directory: "
        manage_py=$(quoted "${script#./}")
        # Whichever project of the repository that is meant for, it is not for the others.
        unset DJANGO_SETTINGS_MODULE
    fi
    # Where one project ends with `exit`, the next one is still to come. Ctrl-C is for all of them: bash
    # itself goes on if the command has ended by itself.
    trap '(stop_by_ctrl_c); exit 0' INT
    is_in_step || { trap : INT && (bring_in_step); } || [ $? != 130 ] || exit 0
done
exit 0
