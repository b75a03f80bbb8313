#!/bin/sh
# Lets schemathesis (https://schemathesis.readthedocs.io, `pip install schemathesis`) try the API of a
# server of its own: no server error, no undocumented status, content type, header or body.
#
#   tests/schemathesis.sh [examples per operation, 50 by default]
#
# Takes `memcloud` from $MEMCLOUD (target/debug/memcloud) and `schemathesis` from $SCHEMATHESIS (the PATH).
#
# Left out: /live, which has no end; and the check `positive_data_acceptance`, since a schema cannot say
# which time zones, cursors, apps and nodes there are (422 and 400 are documented for those).
set -eu
examples=${1:-50}
memcloud=$(realpath "${MEMCLOUD:-target/debug/memcloud}")
schemathesis=${SCHEMATHESIS:-schemathesis}
folder=$(mktemp -d)
export MEMCLOUD_DATA__DIR="$folder/data" MEMCLOUD_KEYS__DIR="$folder/keys"
export MEMCLOUD_HTTP__BIND=127.0.0.1:0 MEMCLOUD_HEM__BIND=127.0.0.1:0 MEMCLOUD_LOG__FILE="$folder/log"

token=$("$memcloud" token add --role admin schemathesis)
viewer=$("$memcloud" token add --role viewer onlooker)
"$memcloud" serve 2>"$folder/errors" &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null || true; rm -rf "$folder"' EXIT
until [ -s "$folder/data/addresses.json" ]; do
    kill -0 $server || { cat "$folder/errors" "$folder/log"; exit 1; }
    sleep 0.1
done
url=http://$(sed 's/.*"http":"\([^"]*\)".*/\1/' "$folder/data/addresses.json")

post() {
    curl -fsS -X POST -H "Authorization: Bearer $token" -H 'Content-Type: application/json' -d "$2" \
        "$url/api/v1$1"
}
post /microgrids '{"id":"valley","name":"Valley","time_zone":"Europe/Berlin"}' >/dev/null
id() { sed 's/^{"id":"\([^"]*\)".*/\1/'; }
job=$(post /microgrids/valley/jobs '{"app":"external"}' | id)
# A home that is there: it says which nodes it has, and answers commands.
enrol=$("$memcloud" microgrid enrol valley)
hem=$(sed 's/.*"hem":"[^"]*:\([0-9]*\)".*/\1/' "$folder/data/addresses.json")
python3 "$(dirname "$0")/../clients/python/clients_tls.py" 1 --host 127.0.0.1 --port "$hem" --prefix home \
    --cafile "$folder/keys/ca-cert.pem" --enrol "$enrol" --state "$folder/homes" >"$folder/homes.log" 2>&1 &
home=$!
# The home may have ended by itself: its key is rotated on the way.
trap 'kill $server $home 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"' EXIT
until curl -fsS -H "Authorization: Bearer $token" "$url/api/v1/hems/home-1" 2>/dev/null | grep -q '"active":true'; do
    kill -0 $home || { cat "$folder/homes.log"; exit 1; }
    sleep 0.1
done
command=$(post /hems/home-1/commands '{"action":"report-every","seconds":1}' | id)

try() {
    name=$1 bearer=$2
    shift 2
    echo "== $name"
    "$schemathesis" --config-file "$folder/$name.toml" run "$url/api/openapi.json" \
        --header "Authorization: Bearer $bearer" --exclude-path /api/v1/live \
        --exclude-checks positive_data_acceptance --max-examples "$examples" --continue-on-failure \
        --request-timeout 30 "$@"
}

# Made-up ids first, then what is there, then a caller who may only look. Nobody waits for long; and a list
# whose items were all deleted is still there, empty.
cat >"$folder/made-up.toml" <<END
[parameters]
"query.wait" = "100ms"

[[operations]]
include-operation-id = "list_enrolment_tokens"
checks.use_after_free.enabled = false
END
sed '/^"query.wait"/r /dev/stdin' "$folder/made-up.toml" >"$folder/there.toml" <<END
"path.microgrid" = "valley"
"path.hem" = "home-1"
"path.job" = "$job"
"path.command" = "$command"
END
cp "$folder/there.toml" "$folder/onlooker.toml"
failed=
try made-up "$token" || failed=1
try there "$token" --exclude-method DELETE || failed=1
try onlooker "$viewer" || failed=1
if grep -E 'panick|ERROR +memcloud' "$folder/log"; then
    echo "the server logged errors" >&2
    failed=1
fi
[ -z "$failed" ]
