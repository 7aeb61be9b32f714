#!/bin/busybox sh
# The first process of a virtual machine of the tests: mounts what the tools expect, loads the modules, then runs the
# scripts it is sent over the line named `agent`. A request is `SECONDS BYTES` on a line and then the script; the answer
# is `STATUS BYTES` on a line and then what it printed.

export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/
/bin/busybox mkdir -p /proc /sys /dev /tmp /run
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t bpf bpf /sys/fs/bpf

broken=
while read -r module; do
    insmod "/modules/$module.ko" || broken="$broken $module"
done </modules/order
ip link set lo up

line=
for port in /sys/class/virtio-ports/*; do
    if [ "$(cat "$port/name")" = agent ]; then
        line=/dev/${port##*/}
    fi
done
if [ -z "$line" ]; then
    echo "init: there is no line to the host" >/dev/console
    poweroff -f
fi
exec 3<>"$line"
if [ -n "$broken" ]; then
    echo "these modules do not load:$broken" >&3
else
    echo ready >&3
fi

# nothing asked for ten minutes: whoever started this machine is gone
while read -r -t 600 seconds bytes <&3; do
    head -c "$bytes" <&3 >/tmp/script
    rm -f /tmp/output
    timeout -s KILL "$seconds" dash -e /tmp/script </dev/null >/tmp/output 2>&1
    status=$?
    echo "$status $(stat -c %s /tmp/output)" >&3
    cat /tmp/output >&3
done
poweroff -f
