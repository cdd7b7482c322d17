/** Which API, and who asks: from options, the environment, or a file. */
import { parse } from 'yaml';
import { WeftError } from '../../base/errors.ts';

export const DEFAULT_API = 'http://127.0.0.1:6680';

export interface NetConfig {
  readonly api: string;
  readonly token: string | undefined;
  /** PEM text of the authority that signed the API's certificate, where the system does not know it. */
  readonly ca: string | undefined;
}

export interface ConfigSources {
  /** What the command line says; a token or authority that begins with @ is in that file. */
  readonly options: { readonly api?: string; readonly token?: string; readonly ca?: string };
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Throws where the file cannot be read. */
  readonly readFile: (path: string) => string;
}

function fileOf(env: ConfigSources['env']): string | undefined {
  if (env.WEFT_CONFIG !== undefined) return env.WEFT_CONFIG;
  const base = env.XDG_CONFIG_HOME ?? (env.HOME === undefined ? undefined : `${env.HOME}/.config`);
  return base === undefined ? undefined : `${base}/weft/config.yaml`;
}

function readConfig({ env, readFile }: ConfigSources): Readonly<Record<string, unknown>> {
  const path = fileOf(env);
  if (path === undefined) return {};
  let text: string;
  try {
    text = readFile(path);
  } catch (cause) {
    // A file that nobody named need not be there.
    if (env.WEFT_CONFIG === undefined) return {};
    throw unreadable(path, cause);
  }
  let value: unknown;
  try {
    value = parse(text);
  } catch (cause) {
    throw new WeftError('bad-config', `${path}: ${(cause as Error).message}`, {
      remedy: 'correct the YAML',
      cause,
    });
  }
  if (typeof value !== 'object' || value === null) return {};
  for (const [name, setting] of Object.entries(value)) {
    if (['api', 'token', 'ca'].includes(name) && typeof setting === 'string') continue;
    throw new WeftError('bad-config', `${path}: "${name}: ${JSON.stringify(setting)}" is not taken`, {
      remedy: 'there are "api", "token" and "ca", each a text',
    });
  }
  return value as Readonly<Record<string, unknown>>;
}

function unreadable(path: string, cause: unknown): WeftError {
  return new WeftError('no-file', `cannot read "${path}": ${(cause as Error).message}`, { cause });
}

/** Options come before the environment, the environment before the file. */
export function configOf(sources: ConfigSources): NetConfig {
  const { options, env, readFile } = sources;
  const file = readConfig(sources);
  const pick = (name: 'api' | 'token' | 'ca', variable: string): string | undefined =>
    options[name] ?? env[variable] ?? (file[name] as string | undefined);
  const contents = (text: string | undefined): string | undefined => {
    if (text === undefined || !text.startsWith('@')) return text;
    try {
      return readFile(text.slice(1)).trim();
    } catch (cause) {
      throw unreadable(text.slice(1), cause);
    }
  };
  const api = pick('api', 'WEFT_API') ?? DEFAULT_API;
  if (!URL.canParse(api) || !/^https?:/.test(api))
    throw new WeftError('bad-config', `"${api}" is no address of an API`, {
      remedy: `write it like ${DEFAULT_API}`,
    });
  return {
    api: api.replace(/\/+$/, ''),
    token: contents(pick('token', 'WEFT_TOKEN')),
    ca: contents(pick('ca', 'WEFT_CA')),
  };
}
