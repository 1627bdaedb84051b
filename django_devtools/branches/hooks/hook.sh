# What the git hooks do, for POSIX shells. Called with the name of the hook and its arguments, after
# $python, $script and $pathspecs were set. Starts Python only where a migration or a setting differs
# from those that the databases were last in step with.

hook=$1
[ "${DJANGO_DEVTOOLS_HOOK-1}" != 0 ] || exit 0
git_dir=$(git rev-parse --git-dir) || exit 0
# With these, which Magit sets, git reads pathspecs in another way.
unset GIT_LITERAL_PATHSPECS GIT_GLOB_PATHSPECS GIT_NOGLOB_PATHSPECS GIT_ICASE_PATHSPECS

if [ "$hook" = post-checkout ]; then
    # Single files; then clones and new work trees, which nothing was applied from yet.
    [ "$4" = 1 ] || exit 0
    case $2 in *[!0]*) ;; *) exit 0 ;; esac
fi
# What comes and goes until it is done. The end of a rebase is told before git has cleared up.
if [ "$hook ${2-}" != "post-rewrite rebase" ]; then
    for doing in rebase-merge rebase-apply BISECT_LOG; do
        [ -e "$git_dir/$doing" ] || continue
        # Done are a bisect that goes back to its branch, and a rebase that has nothing to pick.
        git symbolic-ref --quiet HEAD >/dev/null ||
            grep -qsx noop "$git_dir/rebase-merge/done" || exit 0
    done
fi

if read -r in_step 2>/dev/null <"$git_dir/django-devtools/in-step"; then
    eval 'git diff --quiet "$in_step" HEAD --' "$pathspecs" 2>/dev/null && exit 0
fi

manage=$(git config django-devtools.manage)
if [ -n "$manage" ]; then
    sh -c "$manage migrations_hook run" </dev/null
elif [ ! -f "$script" ]; then
    : # It may be on other branches only.
elif command -v "$python" >/dev/null; then
    cd "${script%/*}" && "$python" "${script##*/}" migrations_hook run </dev/null
else
    echo "The databases were left alone: $python is gone." >&2
    echo "Run \`manage.py migrations_hook install\` with the one that took its place." >&2
fi
exit 0
