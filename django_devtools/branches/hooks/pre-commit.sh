#!/bin/sh
# The hooks as pre-commit calls them: it passes git's arguments in its environment.
if [ -n "${PRE_COMMIT_CHECKOUT_TYPE-}" ]; then
    set -- post-checkout "$PRE_COMMIT_FROM_REF" "$PRE_COMMIT_TO_REF" "$PRE_COMMIT_CHECKOUT_TYPE"
elif [ -n "${PRE_COMMIT_REWRITE_COMMAND-}" ]; then
    set -- post-rewrite "$PRE_COMMIT_REWRITE_COMMAND"
else
    set -- post-merge
fi
. "${0%/*}/hook.sh"
