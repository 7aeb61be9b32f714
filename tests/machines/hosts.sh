# Hosts, cables and traffic inside a virtual machine, for the scripts of the scenarios.

# on HOST COMMAND...: in the host's network; the file systems, and so the pins, are everybody's
on() {
    place=/run/netns/$1
    shift
    nsenter --net="$place" -- "$@"
}

# hosts NAME...
hosts() {
    for name; do
        ip netns add "$name"
        on "$name" ip link set lo up
    done
}

# clean: removes what an earlier scenario left; network cards come back from the hosts that had them
clean() {
    ip netns list | while read -r name rest; do
        ip netns pids "$name" | while read -r process; do
            kill -KILL "$process" || true
        done
        ip netns del "$name"
    done
    rm -rf /sys/fs/bpf/*
}

# like_a_card HOST INTERFACE: checksums and segmentation are done before the wire, as on a network card, and frames that
# XDP transmits are taken
like_a_card() {
    on "$1" ethtool -K "$2" tx off tso off gso off gro on
    on "$1" ip link set "$2" up
}

# cable HOST INTERFACE HOST INTERFACE
cable() {
    on "$1" ip link add "$2" type veth peer name "$4" netns "/run/netns/$3"
    like_a_card "$1" "$2"
    like_a_card "$3" "$4"
}

# addresses HOST INTERFACE ADDRESS...
addresses() {
    owner=$1
    interface=$2
    shift 2
    for address; do
        case $address in
        *:*) on "$owner" ip address add "$address" dev "$interface" nodad ;;
        *) on "$owner" ip address add "$address" dev "$interface" ;;
        esac
    done
}

# forwarded HOST: what the host's kernel has forwarded, IPv4 and IPv6 packets
forwarded() {
    on "$1" awk '
        $1 == "Ip:" && !names { names = NR; for (i = 2; i <= NF; i++) if ($i == "ForwDatagrams") column = i; next }
        $1 == "Ip:" { sum += $column }
        $1 == "Ip6OutForwDatagrams" { sum += $2 }
        END { print sum }' /proc/net/snmp /proc/net/snmp6
}

# transfer FROM TO ADDRESS KILOBYTES: over one TCP connection; the content has to arrive as it was sent
transfer() {
    if ! [ -s "/tmp/content$4" ]; then
        dd if=/dev/urandom of="/tmp/content$4" bs=1024 count="$4" 2>/dev/null
    fi
    # nobody writes to it: nc sees no end of its input, and so does not end before its peer
    [ -p /tmp/silence ] || mkfifo /tmp/silence
    on "$2" busybox nc -l -p 9000 <>/tmp/silence >/tmp/received &
    server=$!
    until on "$2" grep -q ':2328 0*:0000 0A' /proc/net/tcp /proc/net/tcp6; do
        usleep 20000
    done
    on "$1" busybox nc -w 20 "$3" 9000 <"/tmp/content$4" >/dev/null
    wait $server
    cmp "/tmp/content$4" /tmp/received
}
