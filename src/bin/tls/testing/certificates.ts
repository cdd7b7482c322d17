/** Keys and certificates made for the occasion, by openssl. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/** File names. */
export interface Identity {
  readonly key: string;
  readonly cert: string;
}

/** Why certificates cannot be made here; false: they can. */
export function opensslMissing(): string | false {
  return spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not installed';
}

/**
 * A key and a certificate in `dir` whose common name is `name`: self-signed, and so an authority of its own, unless
 * another one signs it.
 */
export function makeCertificate(dir: string, name: string, authority?: Identity): Identity {
  const made = { key: join(dir, `${name}.key`), cert: join(dir, `${name}.pem`) };
  const signed = authority === undefined ? [] : ['-CA', authority.cert, '-CAkey', authority.key];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const files = ['-keyout', made.key, '-out', made.cert];
  const { status, stderr } = spawnSync(
    'openssl',
    ['req', '-x509', ...kind, '-subj', `/CN=${name}`, ...signed, ...files],
    { encoding: 'utf8' },
  );
  assert.equal(status, 0, stderr);
  return made;
}
