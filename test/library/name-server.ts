import type { RemoteInfo, Socket as UdpSocket } from 'node:dgram';
import { SERVER } from './tunnel.js';

/** A name server for `*.inside.test`, but `nothing.`: RFC 1035, section 4. */
export function answerNames(socket: UdpSocket, asked: string[]): void {
  socket.on('message', (query: Buffer, from: RemoteInfo) => {
    const labels: string[] = [];
    let at = 12;
    while (query[at] !== 0) {
      labels.push(query.toString('latin1', at + 1, at + 1 + query[at]!));
      at += 1 + query[at]!;
    }
    const name = labels.join('.');
    asked.push(name);
    const type = query.readUInt16BE(at + 1);
    const question = query.subarray(12, at + 5);
    const isKnown = name.endsWith('.inside.test') && !name.startsWith('nothing.') && labels.length === 3;
    const header = Buffer.from(query.subarray(0, 12));
    header.writeUInt16BE(isKnown ? 0x8180 : 0x8183, 2);
    const answers = isKnown && type === 1 ? 1 : 0;
    for (const [i, count] of [1, answers, 0, 0].entries()) header.writeUInt16BE(count, 4 + 2 * i);
    const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...SERVER.v4.split('.').map(Number)]);
    socket.send(Buffer.concat([header, question, ...(answers ? [record] : [])]), from.port, from.address);
  });
}
