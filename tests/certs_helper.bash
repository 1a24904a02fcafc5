# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Certificates, good and bad. helper.bash loads it.

# make_certs DIR: a test root and what it signed, each as NAME.pem and NAME.key:
#   root, hashed/ (the root as a hashed directory), server (localhost, 127.0.0.1, ::1),
#   service (api.servetel.in), wrong-host, expired, not-yet, self-signed,
#   chain (signed by an intermediate that is in the file), no-chain (the same without the intermediate)
make_certs() {
    local dir=$1
    mkdir -p "$dir/hashed" "$dir/issued"
    : >"$dir/index.txt"
    write_openssl_config "$dir"
    (cd "$dir" && issue_all_certs) >"$dir/output" 2>&1 ||
        fail_with "cannot make certificates" "$(cat "$dir/output")"
}

issue_all_certs() {
    local from=20200101000000Z until=20491231000000Z
    new_key root &&
        openssl req -x509 -config openssl.cnf -extensions authority -key root.key -subj '/CN=Test root' \
            -days 3650 -out root.pem &&
        cp root.pem "hashed/$(openssl x509 -noout -subject_hash -in root.pem).0" &&
        new_key self-signed &&
        openssl req -x509 -config openssl.cnf -extensions local -key self-signed.key -subj '/CN=localhost' \
            -days 3650 -out self-signed.pem &&
        issue_cert root intermediate authority $from $until &&
        issue_cert root server local $from $until &&
        issue_cert root service service $from $until &&
        issue_cert root wrong-host other $from $until &&
        issue_cert root expired local $from 20210101000000Z &&
        issue_cert root not-yet local 20480101000000Z $until &&
        issue_cert intermediate no-chain local $from $until &&
        cat no-chain.pem intermediate.pem >chain.pem &&
        cp no-chain.key chain.key
}

new_key() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"
}

# issue_cert ISSUER NAME EXTENSIONS FROM UNTIL: `openssl ca`, because `openssl x509` cannot set past dates.
issue_cert() {
    new_key "$2" &&
        openssl req -new -config openssl.cnf -key "$2.key" -subj "/CN=Test $2" -out "$2.csr" &&
        openssl ca -config openssl.cnf -batch -notext -cert "$1.pem" -keyfile "$1.key" \
            -in "$2.csr" -extensions "$3" -startdate "$4" -enddate "$5" -out "$2.pem"
}

write_openssl_config() {
    cat >"$1/openssl.cnf" <<EOT
[req]
distinguished_name = name
[name]
[ca]
default_ca = test
[test]
database = index.txt
new_certs_dir = issued
default_md = sha256
policy = policy
unique_subject = no
rand_serial = yes
[policy]
commonName = supplied
[authority]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign,cRLSign
[local]
subjectAltName = DNS:localhost,IP:127.0.0.1,IP:::1
[service]
subjectAltName = DNS:api.servetel.in
[other]
subjectAltName = DNS:other.example.test
EOT
}
