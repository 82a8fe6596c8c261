#!/bin/sh
# scripts/check_layers passes a tree that is in order and names each kind of fault in one that is not.
#
#     tests/layers.sh SCRIPT
set -eu
script=$1
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failed=0

# put FILE INCLUDE...: a source file that includes these and opens with a comment.
put() {
    file=$tree/$1
    shift
    mkdir -p "$(dirname "$file")"
    { echo '/* A file. */'; printf '#include %s\n' "$@"; } >"$file"
}

# expect EXIT-STATUS [TEXT]: what the script must say of the tree, which is then emptied.
expect() {
    status=0
    said=$("$script" "$tree") || status=$?
    case $said in
    *"${2:-}"*) ;;
    *) status="$status without '$2'" ;;
    esac
    if [ "$status" != "$1" ]; then
        echo "expected exit $1${2:+ with '$2'}, found $status: $said"
        failed=1
    fi
    rm -rf "${tree:?}"/*
}

in_order() {
    put base/a.c '<stdio.h>' '"base/a.h"' '<sys/stat.h>'
    put ir/a.c '"base/a.h"' '"ir/a.h"' '"a.h"'
    put frontend/a.h '"ir/ops.def"'
    put passes/a.c '"ir/a.h"' '"passes/a.h"'
    put codegen/smc.c '"frontend/a.h"' '"passes/a.h"' '"runtime/plan.h"' '"runtime/kernels/row.h"'
    put runtime/a.c '"runtime/kernels/kernel.h"' '"base/a.h"'
    put runtime/kernels/a.c '"runtime/kernels/body.inc"' '"base/a.h"'
    put tests/ir/a.c '<cmocka.h>' '"ir/a.h"' '"runtime/a.h"'
    printf '%%{\n/* A scanner. */\n' >"$tree/frontend/lex.l"
}

# forbid FILE INCLUDE: the one arrow that points up in a tree that is otherwise in order.
forbid() {
    in_order
    put "$1" "$2"
    expect 1 "$1:2: "
}

in_order
expect 0 '9 files, 0 faults'
forbid base/up.h '"ir/graph.h"'
forbid base/up.c '<runtime/plan.h>'
forbid ir/up.c '"frontend/ast.h"'
forbid ir/up.c '  "passes/pass.h"'
forbid frontend/up.y '"passes/pass.h"'
forbid passes/up.c '"frontend/ast.h"'
forbid passes/up.c '"runtime/plan.h"'
forbid codegen/up.c '"runtime/session.h"'
forbid runtime/up.c '"ir/type.h"'
forbid runtime/up.c '"codegen/lower.h"'
forbid runtime/kernels/up.inc '"runtime/plan.h"'
forbid runtime/kernels/up.h '"ir/ops.def"'
forbid runtime/up.c '"../ir/type.h"'
forbid base/up.c '"nowhere/a.h"'

in_order
mkdir "$tree/attic"
echo '/* A file. */' >"$tree/attic/a.c"
expect 1 'attic/a.c:1: '

in_order
echo 'int x;' >"$tree/ir/bare.c"
expect 1 'ir/bare.c:1: '

in_order
: >"$tree/ir/empty.h"
expect 1 'ir/empty.h:1: '

expect 1 'no source files'
exit $failed
