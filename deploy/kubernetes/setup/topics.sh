#!/bin/bash
# Makes what Muster reads and writes in Pulsar, and leaves alone what is there. Runs in Pulsar's own image, by
# compose.yaml and by the job for Kubernetes. From the environment: ADMIN_URL, NAMESPACE, MESSAGES, TRANSITIONS,
# DEAD_LETTERS, SUBSCRIPTION and PARTITIONS; and where Pulsar wants a token, TOKEN_FILE, and AUTHORITY for a
# certificate that no public authority signed.
set -euo pipefail

admin=(bin/pulsar-admin --admin-url "$ADMIN_URL")
if [ -n "${TOKEN_FILE:-}" ]; then
    admin+=(--auth-plugin org.apache.pulsar.client.impl.auth.AuthenticationToken --auth-params "file://$TOKEN_FILE")
fi
if [ -n "${AUTHORITY:-}" ]; then
    admin+=(--tls-trust-cert-path "$AUTHORITY")
fi

# Whether a list on standard input has this entry; some versions write entries in quotes.
lists() {
    tr -d '"' | grep --quiet --line-regexp --fixed-strings "$1"
}

partitioned=$("${admin[@]}" topics list-partitioned-topics "$NAMESPACE")
for topic in "$MESSAGES" "$TRANSITIONS"; do
    if lists "$topic" <<<"$partitioned"; then
        echo "$topic: there already"
    else
        "${admin[@]}" topics create-partitioned-topic --partitions "$PARTITIONS" "$topic"
        echo "$topic: made, with $PARTITIONS partitions"
    fi
done
plain=$("${admin[@]}" topics list "$NAMESPACE")
if ! lists "$DEAD_LETTERS" <<<"$plain"; then
    "${admin[@]}" topics create "$DEAD_LETTERS"
    echo "$DEAD_LETTERS: made"
fi

# From here on nothing that is sent is lost, also before the first instance starts.
subscriptions=$("${admin[@]}" topics subscriptions "$MESSAGES-partition-0")
if ! lists "$SUBSCRIPTION" <<<"$subscriptions"; then
    "${admin[@]}" topics create-subscription --messageId earliest --subscription "$SUBSCRIPTION" "$MESSAGES"
    echo "$SUBSCRIPTION: subscribed to $MESSAGES"
fi

# Pulsar drops what no subscription waits for. Transitions and dead letters stay for a week for those who
# subscribe later.
"${admin[@]}" namespaces set-retention --time 7d --size 10G "$NAMESPACE"
