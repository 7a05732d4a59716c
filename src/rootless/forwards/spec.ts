/** Forwards as ssh(1) writes them, with `/udp` behind those of UDP. */

export interface ForwardSpec {
  readonly protocol: 'tcp' | 'udp';
  /** Undefined when it was not told. */
  readonly bind?: string;
  readonly port: number;
  readonly host: string;
  readonly hostPort: number;
}

export type ListenSpec = Pick<ForwardSpec, 'bind' | 'port'>;

/** Parts between colons; brackets hold an IPv6 address together. */
function partsOf(text: string): string[] | undefined {
  const parts = [...`:${text}`.matchAll(/:(\[[^\]]*\]|[^:[\]]*)/g)];
  if (parts.map(([whole]) => whole).join('') !== `:${text}`) return undefined;
  return parts.map(([, part]) => part!.replace(/^\[(.*)\]$/, '$1'));
}

/** @returns 0 to 65535, or undefined */
function portOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,5}$/.test(text) && Number(text) <= 65535 ? Number(text) : undefined;
}

function bindOf(text: string | undefined): { bind?: string } {
  if (text === undefined) return {};
  return { bind: text === '' || text === '*' ? '::' : text };
}

/** `[BIND:]PORT:HOST:HOSTPORT[/udp]`. @throws Error with a text for people */
export function parseForward(text: string): ForwardSpec {
  const [, addresses = '', protocol = 'tcp'] = /^(.*?)(?:\/(tcp|udp))?$/s.exec(text) ?? [];
  const parts = partsOf(addresses) ?? [];
  const [hostPort, host, port] = [portOf(parts.at(-1)), parts.at(-2), portOf(parts.at(-3))];
  if (parts.length < 3 || parts.length > 4 || port === undefined || !hostPort || !host) {
    throw new Error(
      `${JSON.stringify(text)} is no forward: expected [BIND:]PORT:HOST:HOSTPORT, with /udp behind it for UDP`,
    );
  }
  const bind = bindOf(parts.length === 4 ? parts[0] : undefined);
  return { protocol: protocol as 'tcp' | 'udp', ...bind, port, host, hostPort };
}

/** `[BIND:]PORT`. @throws Error with a text for people */
export function parseListen(text: string): ListenSpec {
  const parts = partsOf(text) ?? [];
  const port = portOf(parts.at(-1));
  if (parts.length < 1 || parts.length > 2 || port === undefined) {
    throw new Error(`${JSON.stringify(text)} is no place to listen at: expected [BIND:]PORT`);
  }
  return { ...bindOf(parts.length === 2 ? parts[0] : undefined), port };
}

/** `192.0.2.1:5`, `[2001:db8::1]:5` */
export function hostAndPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
