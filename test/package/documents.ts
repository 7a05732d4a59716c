/** The programs that the documents show, each as a module that compiles. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './project.js';

/** What the documents take for granted: files, keys and devices of the reader's own. */
export const SURROUNDINGS = `
import type { Socket } from 'node:dgram';
import type * as api from 'typetun';

declare global {
  const config: api.DeviceConfig;
  const privateKey: Uint8Array;
  const publicKey: string;
  const ca: string;
  const device: api.RootlessDevice;
  const socket: Socket;
  const readFile: (path: string) => Promise<Uint8Array>;
  const http: typeof import('node:http');
  const https: typeof import('node:https');
  const SecretKey: typeof api.SecretKey;
  const createHostDevice: typeof api.createHostDevice;
  const createRootlessDevice: typeof api.createRootlessDevice;
  const createPacketDevice: typeof api.createPacketDevice;
}
`;

/** @returns modules by the names of their files */
export function documentedPrograms(): Map<string, string> {
  const programs = new Map<string, string>();
  const add = (document: string, text: string): void => {
    programs.set(`${document.replace(/\W+/g, '-')}-${programs.size}.ts`, `${text}\nexport {};\n`);
  };
  for (const document of ['README.md', 'docs/library.md', 'docs/integration.md']) {
    const text = readFileSync(join(ROOT, document), 'utf8');
    for (const [, program = ''] of text.matchAll(/^```ts\n([^]*?)^```/gm)) add(document, program);
  }
  const reference = readFileSync(join(ROOT, 'docs/reference.md'), 'utf8');
  for (const [, example = ''] of reference.matchAll(/@example\n((?: *\* .*\n)+)/g)) {
    add('example', example.replace(/^ *\* ?/gm, ''));
  }
  return programs;
}
