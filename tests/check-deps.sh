#!/bin/sh
# The one-way rule: schema <- model <- {indexer, query} <- coca.c; indexer and query never include each other; model uses
# neither the catalog nor the vectors. Includes are folder-qualified, so that the rule can be read off them.
set -u
bad=0
forbid() { # FOLDER PATTERN
    if grep -nE "^[[:space:]]*#[[:space:]]*include[[:space:]]+\"($2)" "$1"/*.[ch] 2>/dev/null; then
        echo "check-deps: $1 must not include the above"
        bad=1
    fi
}
forbid schema 'model/|indexer/|query/|tests/'
forbid model 'indexer/|query/|tests/|schema/catalog|schema/vectors'
forbid indexer 'query/|tests/'
forbid query 'indexer/|tests/'
for f in coca.c schema/*.[ch] model/*.[ch] indexer/*.[ch] query/*.[ch]; do
    [ -f "$f" ] || continue
    if grep -nHE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"[^/]*"' "$f"; then
        echo "check-deps: includes are folder-qualified"
        bad=1
    fi
done
[ $bad -eq 0 ] && echo "check-deps: every include points downwards"
exit $bad
