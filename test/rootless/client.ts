/**
 * A client of forwards and proxies: one exchange with the echo server, told in words, what came back is printed.
 *
 *   udp HOST PORT TEXT                  a datagram
 *   socks-udp PROXY-PORT HOST PORT TEXT SOCKS5, UDP ASSOCIATE, RFC 1928
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';

const LOOPBACK = '127.0.0.1';

/** Sends until an answer comes: datagrams may be lost. */
async function exchange(socket: UdpSocket, message: Buffer, port: number, host: string = LOOPBACK): Promise<Buffer> {
  const again = setInterval(() => socket.send(message, port, host), 500);
  socket.send(message, port, host);
  const [answer] = (await once(socket, 'message')) as [Buffer];
  clearInterval(again);
  return answer;
}

const [what, ...words] = process.argv.slice(2);
const udp = createSocket('udp4');
udp.bind();
if (what === 'udp') {
  const [host, port, text = ''] = words;
  console.log((await exchange(udp, Buffer.from(text), Number(port), host)).toString());
} else {
  const [proxy, host = '', port, text = ''] = words;
  const control = connect(Number(proxy), LOOPBACK);
  const ask = async (...bytes: number[]): Promise<Buffer> => {
    control.write(Buffer.from(bytes));
    const [answer] = (await once(control, 'data')) as [Buffer];
    return answer;
  };
  await ask(5, 1, 0);
  const bound = await ask(5, 3, 0, 1, 0, 0, 0, 0, 0, 0);
  const name = Buffer.from(host);
  const header = Buffer.from([0, 0, 0, 3, name.length, ...name, Number(port) >> 8, Number(port) & 0xff]);
  const answer = await exchange(udp, Buffer.concat([header, Buffer.from(text)]), bound.readUInt16BE(bound.length - 2));
  // Reserved, fragment, type, then an address of 4 or 16 bytes and a port.
  console.log(`${answer[3]} ${answer.subarray(answer[3] === 1 ? 10 : 22).toString()}`);
  control.destroy();
}
udp.close();
