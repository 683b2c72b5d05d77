#!/bin/sh
# What tests need of Debian beside Python: broker, browser, C compiler, Modbus peers.
# Installs what is missing where that takes no password; says otherwise how to go on without it.

has() {
    PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "$1" >/dev/null 2>&1
}

missing() {
    for program in mosquitto chromium gcc mbpoll socat; do
        has "$program" || printf '%s ' "$program"
    done
    [ -e /usr/include/modbus/modbus.h ] || printf 'libmodbus-dev '
}

# The words before apt-get that make it run as root; fails where a password would be asked.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        echo env
    elif has sudo && sudo -n true 2>/dev/null; then
        echo sudo -n env
    else
        return 1
    fi
}

install() {
    has apt-get && root=$(as_root) || return 1
    apt="$root DEBIAN_FRONTEND=noninteractive apt-get -qq"
    # shellcheck disable=SC2086 # words are meant to be split
    # A compiler is of no use without the headers of its library.
    case " $* " in *" gcc "*) set -- "$@" libc6-dev ;; esac
    $apt install -y --no-install-recommends "$@" >/dev/null 2>&1 ||
        { $apt update && $apt install -y --no-install-recommends "$@"; } >/dev/null 2>&1
}

wanted=$(missing)
if [ -n "$wanted" ]; then
    echo "安装测试所需的系统软件 / installing for the tests: $wanted"
    # shellcheck disable=SC2086
    install $wanted
fi

for program in $(missing); do
    case $program in
        mosquitto) marker=broker ;;
        chromium) marker=browser ;;
        gcc) marker=compiler ;;
        libmodbus-dev) marker=libmodbus ;;
        *) marker=$program ;;
    esac
    echo "缺少 $program / $program is missing"
    echo "  → sudo apt-get install $program"
    echo "  → 或有意略去 / or leave its tests out on purpose: make test ARGS=\"-m 'not $marker'\""
done
exit 0
