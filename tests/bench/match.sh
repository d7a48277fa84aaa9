#!/bin/sh
# How well `match` tells sense from nonsense: the best match of queries of four kinds in a library, for model/default/README.md and query/find/background.h.
#   COCA_DB=FILE sh tests/bench/match.sh CAPTIONS      CAPTIONS: a file of captions, one a line, of photographs that the model was not trained on
#   BUILD   the build folder
# Prints for each kind how many queries there are, the median of their best matches, and how many are above 0.5.
set -eu
coca=${BUILD:-build}/coca
[ $# -eq 1 ] || { echo "usage: COCA_DB=FILE sh tests/bench/match.sh CAPTIONS" >&2; exit 2; }

# Queries come one a line; one that finds nothing has no match.
measure() {
    while IFS= read -r query; do
        "$coca" search --quiet -n 1 --format json -- "$query" </dev/null | sed -n 's/.*"match":\([0-9.e-]*\).*/\1/p'
    done | sort -g | awk -v kind="$1" '{ v[NR] = $1; above += $1 > 0.5 }
        END { printf "%-12s %3d queries, median %.2f, above 0.5: %d\n", kind, NR, NR ? v[int(NR / 2) + 1] : 0, above }'
}

measure captions <"$1"
measure everyday <<'QUERIES'
a dog on the beach
birthday cake
children playing
a red car
sunset over the sea
a city street at night
a plate of food
people at a party
a cat on a sofa
snowy mountains
a boat on the water
a train station
a man on a bicycle
flowers in a vase
a baby
QUERIES
measure letters <<'QUERIES'
asdkj qwoieu
zxcv mnbv
plok wert
hjklgf
vbnmq tyu
qazwsx
edcrfv tgb
yhnujm
ikolp mnb
xzcvqwe
gfdsa hjk
uytrewq
bvcxz lkj
poiuy tre
mnbvc asd
lkjhg fds
wqazx sdf
rtfgv bnh
ujmki olp
tgbyhn wsx
QUERIES
measure far-fetched <<'QUERIES'
quantum computing
quarterly earnings report
macroeconomic policy
the theory of relativity
a constitutional amendment
interest rate derivatives
protein folding
blockchain consensus
medieval scholastic philosophy
differential geometry
corporate tax law
an operating system kernel
immunology research
the stock market index
a treaty of alliance
string theory
insurance premium calculation
grammatical cases of Finnish
compiler optimisation
a subpoena
QUERIES
