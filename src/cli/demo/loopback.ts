/** The demo where nothing is permitted: two devices in one process, their datagrams on loopback UDP. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { SecretKey } from '../../api/keys.js';
import { PacketDevice } from '../../api/packet-device.js';
import { createCrypto } from '../../crypto/index.js';

/** A device whose "network" is a UDP socket and whose "TUN" is a callback. */
export class LoopbackDevice {
  readonly #key: SecretKey = SecretKey.generatePrivateKey();
  readonly publicKey: string = this.#key.publicKey();
  readonly device: PacketDevice;
  #socket: Socket | undefined;
  /** Cleartext packets arrive here. */
  onPacket: (packet: Uint8Array) => void = () => {};
  handshakes = 0;
  prefixesMoved = 0;

  constructor() {
    // As the Linux device, and not by JavaScript alone.
    this.device = new PacketDevice(
      {
        onDatagram: (datagram, to) => this.#socket?.send(datagram, to.port, to.address),
        onPacket: (packet) => this.onPacket(packet),
      },
      (arena) => createCrypto(arena, process.env['TYPETUN_AEAD']),
    );
    this.device.on('handshake', () => this.handshakes++);
    this.device.on('allowedIpMoved', () => this.prefixesMoved++);
    this.device.configureSync({ privateKey: this.#key });
  }

  /** Opens a socket at a port that was free, in place of the one before. @returns the port */
  async bind(): Promise<number> {
    const socket = createSocket('udp4');
    socket.on('message', (bytes, from) => this.device.receiveDatagram(bytes, from));
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    socket.setRecvBufferSize(1 << 20);
    this.#socket?.close();
    this.#socket = socket;
    return socket.address().port;
  }

  /** Takes the private key away and gives it back, which ends the sessions. */
  forgetSessions(): void {
    this.device.configureSync({ privateKey: null });
    this.device.configureSync({ privateKey: this.#key });
  }

  close(): void {
    this.#socket?.close();
    this.#key.wipe();
    void this.device.close();
  }

  /** Packets enter the tunnel. */
  input(packets: readonly Uint8Array[]): void {
    for (const packet of packets) this.device.sendPacket(packet);
  }
}
