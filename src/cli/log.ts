/** Log lines as wireguard-go writes them, on standard output. */
import type { LogLevel } from '../engine/handle.js';

export type Log = (level: 'debug' | 'error', message: string) => void;

/** LOG_LEVEL; anything unknown is `error`, as with wireguard-go. */
export function logLevel(value: string | undefined): LogLevel {
  return value === 'verbose' || value === 'debug' || value === 'silent' ? value : 'error';
}

export function createLog(level: LogLevel, name: string): Log {
  const levels = { silent: 0, error: 1, debug: 2, verbose: 2 } as const;
  return (of, message) => {
    if (levels[of] > levels[level]) return;
    process.stdout.write(`${of.toUpperCase()}: (${name}) ${timestamp(new Date())} ${message}\n`);
  };
}

function timestamp(date: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}/${two(date.getMonth() + 1)}/${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
