#!/usr/bin/env bash
# A container whose only interface is the tunnel: whatever runs in it reaches the world through the tunnel, or not at
# all. The tunnel's UDP socket stays outside, where the device was made.
#
#   container              host (stands for this machine)            far
#   [wg] 10.9.0.2    ....  socket of wg, 192.0.2.2 on eth0  ──────  192.0.2.1, [wg] 10.9.0.1, the Internet
#
# Usage: sudo examples/container.sh [COMMAND ...]    the command runs in the container
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"

host=ttex-$$-host
container=ttex-$$-container

stage "$host"
uplink "$host"

# Made on the host, so that its socket uses the host's interfaces; configured; and only then given to the container.
device "$host" "$wg" "$typetun"
configure
namespace "$container"
run ip -n "$host" link set "$wg" netns "$container"
addresses "$container"
run ip -n "$container" route add default dev "$wg"
run ip -n "$container" -6 route add default dev "$wg"

show "$container" "$@"
