// What innernet does with an interface, by its own library: it starts the userspace program, and configures it.
use std::{env, process::exit};
use wireguard_control::{Backend, Device, DeviceUpdate, InterfaceName, Key, PeerConfigBuilder};

fn main() -> std::io::Result<()> {
    let name: InterfaceName = env::args()
        .nth(1)
        .expect("an interface")
        .parse()
        .expect("a name");
    let own = Key::generate_private();
    let peers: Vec<Key> = (0..3)
        .map(|_| Key::generate_private().get_public())
        .collect();
    let mut update = DeviceUpdate::new()
        .set_private_key(own.clone())
        .set_listen_port(51872);
    for (i, key) in peers.iter().enumerate() {
        update = update.add_peer(
            PeerConfigBuilder::new(key)
                .set_endpoint(format!("192.0.2.{}:{}", i + 1, i + 1).parse().unwrap())
                .set_persistent_keepalive_interval(25)
                .replace_allowed_ips()
                .add_allowed_ip(format!("10.42.{i}.1").parse().unwrap(), 32),
        );
    }
    update.apply(&name, Backend::Userspace)?;
    let device = Device::get(&name, Backend::Userspace)?;
    let seen: Vec<&Key> = device
        .peers
        .iter()
        .map(|peer| &peer.config.public_key)
        .collect();
    let whole = device.public_key == Some(own.get_public())
        && device.listen_port == Some(51872)
        && seen == peers.iter().collect::<Vec<_>>()
        && device.peers.iter().all(|peer| {
            peer.config.endpoint.is_some()
                && peer.config.allowed_ips.len() == 1
                && peer.config.persistent_keepalive_interval == Some(25)
        });
    DeviceUpdate::new()
        .remove_peer_by_key(&peers[1])
        .apply(&name, Backend::Userspace)?;
    let left = Device::get(&name, Backend::Userspace)?.peers.len();
    println!("{} {left}", if whole { "whole" } else { "different" });
    device.delete()?;
    exit(if whole && left == 2 { 0 } else { 1 })
}
