/** Log lines as wireguard-go writes them, on standard output. */
import type { LogLevel } from '../engine/handle.js';

/** Bytes that wait for a reader that does not read; what comes then is lost, and nothing waits for it. */
const MAX_WAITING_BYTES = 1 << 20;

/** `LOG_LEVEL`; anything unknown is `error`, as with wireguard-go. */
export function logLevel(value: string | undefined): LogLevel {
  return value === 'verbose' || value === 'debug' || value === 'silent' ? value : 'error';
}

export class Log {
  /** The interface's name, in front of each line. */
  name: string;
  readonly #level: LogLevel;

  constructor(level: LogLevel, name: string) {
    this.#level = level;
    this.name = name;
  }

  error(message: string): void {
    if (this.#level !== 'silent') this.#print('ERROR', message);
  }

  debug(message: string): void {
    if (this.#level === 'debug' || this.#level === 'verbose') this.#print('DEBUG', message);
  }

  write(level: 'debug' | 'error', message: string): void {
    this[level](message);
  }

  /** What was asked for just now is said whatever the level is. */
  always(message: string): void {
    this.#print('INFO', message);
  }

  #print(level: string, message: string): void {
    if (process.stdout.writableLength > MAX_WAITING_BYTES) return;
    process.stdout.write(`${level}: (${this.name}) ${timestamp(new Date())} ${message}\n`);
  }
}

/** `2026/11/24 10:00:00`, local time. */
export function timestamp(date: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}/${two(date.getMonth() + 1)}/${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
