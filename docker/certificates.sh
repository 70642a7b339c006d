#!/bin/sh
# Makes what a cluster over TLS needs, once, in a folder: an authority (ca.pem) and a certificate that it signed with its
# key (node.pem, node.key), for scheduler, workers and clients alike. The compose file runs it; so can anyone:
#   docker/certificates.sh FOLDER
# Whoever has node.key runs code in the cluster. The authority's own key is not kept: for new certificates, or when
# these end after 825 days, empty the folder, run it again and start all services anew.
set -eu

folder=$1
[ -s "$folder/node.pem" ] && exit 0

umask 077
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
new='req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
openssl $new -x509 -days 825 -subj "/CN=daskals authority" -keyout authority.key -out ca.pem
openssl $new -subj "/CN=daskals node" -keyout node.key -out node.csr
openssl x509 -req -days 825 -in node.csr -CA ca.pem -CAkey authority.key -CAcreateserial -out node.pem
cp ca.pem node.key "$folder"
# last, since it is what says that all are there
mv node.pem "$folder/node.pem"
