import { isDeepStrictEqual } from 'node:util';

/** env returns a variable of the environment, which must be set. */
export function env(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}

/** same throws unless got equals want. */
export function same<T>(what: string, got: T, want: T): void {
  if (!isDeepStrictEqual(got, want)) throw new Error(`${what} is ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
}

/** did prints a call: the operation, the status of the answer, and a word on what was requested. */
export function did(operation: string, status: number, what: string): void {
  console.log(`${operation}\t${status}\t${what}`);
}

/** sha256 returns the digest of a file in hexadecimal. */
export async function sha256(file: ArrayBuffer): Promise<string> {
  return Buffer.from(await crypto.subtle.digest('SHA-256', file)).toString('hex');
}

export const pause = (milliseconds: number) => new Promise(resolve => setTimeout(resolve, milliseconds));
