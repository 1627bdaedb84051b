# The body of the git hooks, for POSIX shells. Sourced with the name of the hook and its arguments,
# after $python, $script and $pathspecs were set. Starts Python unless DJANGO_DEVTOOLS_HOOK is 0, this
# is no git repository, only single files were checked out, a clone or work tree was just made, a
# rebase or bisect is under way, no migration or setting differs from those that the databases were
# last in step with, or, without the setting django-devtools.manage, manage.py or $python is gone.

hook=$1
[ "${DJANGO_DEVTOOLS_HOOK-1}" != 0 ] || exit 0
git_dir=$(git rev-parse --git-dir) || exit 0
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

if read -r in_step 2>/dev/null <"$git_dir/django-devtools/in-step"; then
    case $in_step in
        *[!0-9a-f]*) ;; # It is no commit.
        *) eval 'git diff --quiet "$in_step" HEAD --' "$pathspecs" 2>/dev/null && exit 0 ;;
    esac
fi

manage=$(git config django-devtools.manage)
if [ -n "$manage" ]; then
    sh -c "$manage migrations_hook run" </dev/null
elif [ ! -f "$script" ]; then
    : # manage.py may exist on other branches only.
elif command -v "$python" >/dev/null; then
    cd "${script%/*}" && "$python" "${script##*/}" migrations_hook run </dev/null
else
    echo "The databases were left alone: $python no longer exists." >&2
    echo "Run \`manage.py migrations_hook install\` with the Python that replaced it." >&2
fi
exit 0
