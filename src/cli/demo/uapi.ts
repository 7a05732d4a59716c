/** A small client of the UAPI socket, for the demo: one request, one answer. */
import { connect } from 'node:net';

/**
 * @param request its lines, without the blank one at the end
 * @returns the answer's lines as [key, value]
 * @throws when the device answers with an errno other than 0
 */
export async function askDevice(name: string, request: readonly string[]): Promise<[string, string][]> {
  const text = await new Promise<string>((resolve, reject) => {
    let answer = '';
    const socket = connect(`/var/run/wireguard/${name}.sock`);
    socket.setEncoding('latin1');
    socket.on('error', reject);
    socket.on('data', (chunk: string) => {
      answer += chunk;
      if (answer.endsWith('\n\n')) socket.end();
    });
    socket.on('close', () => resolve(answer));
    socket.write(`${request.join('\n')}\n\n`);
  });
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line): [string, string] => {
      const [key = '', ...value] = line.split('=');
      return [key, value.join('=')];
    });
  const errno = lines.find(([key]) => key === 'errno')?.[1];
  if (errno !== '0') throw new Error(`${name}: the device answered errno=${errno}`);
  return lines;
}

/** The value of a key in a device's `get`, the first one there is. */
export async function readDevice(name: string, key: string): Promise<string> {
  const lines = await askDevice(name, ['get=1']);
  return lines.find((line) => line[0] === key)?.[1] ?? '';
}
