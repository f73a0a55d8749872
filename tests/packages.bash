# For scripts that run from the repository: says what they do, and installs what they start.

step() { printf '\n== %s\n' "$*"; }
have() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ]; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Installs Debian packages, without letting their services start.
install() {
    step "Installing $*"
    if ! have apt-get; then
        echo "$0: this machine has no apt-get; install $* yourself" >&2
        exit 1
    fi
    local policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    local get=(env DEBIAN_FRONTEND=noninteractive apt-get -y -qq install --no-install-recommends)
    as_root "${get[@]}" "$@" >/dev/null || { as_root apt-get -qq update && as_root "${get[@]}" "$@" >/dev/null; }
}
