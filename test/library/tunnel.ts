/**
 * Two rootless devices of this process, each with a network of its own:
 *
 *   inside the server                               inside the client
 *   [wg0] 10.77.0.1, fd77::1                        [wg0] 10.77.0.2, fd77::2
 *                     \___ UDP over 127.0.0.1 ___/
 */
import { createRootlessDevice, type RootlessDevice, SecretKey } from '../../src/index.js';

export const SERVER = { v4: '10.77.0.1', v6: 'fd77::1' } as const;
export const CLIENT = { v4: '10.77.0.2', v6: 'fd77::2' } as const;

export interface Tunnel {
  readonly server: RootlessDevice;
  readonly client: RootlessDevice;
  close(): Promise<void>;
}

export async function openTunnel(): Promise<Tunnel> {
  const keys = { server: SecretKey.generatePrivateKey(), client: SecretKey.generatePrivateKey() };
  const server = await createRootlessDevice({
    addresses: [`${SERVER.v4}/24`, `${SERVER.v6}/64`],
    config: {
      privateKey: keys.server,
      peers: [{ publicKey: keys.client.publicKey(), allowedIps: [CLIENT.v4, CLIENT.v6] }],
    },
  });
  const { listenPort } = await server.status();
  const client = await createRootlessDevice({
    config: `[Interface]
PrivateKey = ${keys.client.toBase64()}
Address = ${CLIENT.v4}/24, ${CLIENT.v6}/64
DNS = ${SERVER.v4}, inside.test
MTU = 1380
[Peer]
PublicKey = ${keys.server.publicKey()}
Endpoint = 127.0.0.1:${listenPort}
AllowedIPs = ${SERVER.v4}/32, ${SERVER.v6}/128
`,
  });
  return {
    server,
    client,
    close: async () => {
      await client.close();
      await server.close();
    },
  };
}
