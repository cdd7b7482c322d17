/**
 * Trust at first sight (`--bootstrap-ca-cert`): the first server that shows the certificate of its authority
 * along with its own is believed, and from then on nobody else is. That first connection itself is worth
 * nothing, as anybody may have been at its other end: it ends, and the next one is verified.
 */
import { writeFileSync } from 'node:fs';
import type { DetailedPeerCertificate } from 'node:tls';
import { WeftError } from '../../base/errors.ts';
import type { ModuleLog } from '../../base/log.ts';
import { reasonOf } from '../daemon/vlog-sinks.ts';

/** Chains are followed no further than OpenSSL verifies them. */
const MAX_CHAIN = 100;
const PEM_WIDTH = 64;

function pem(der: Buffer): string {
  const lines = der.toString('base64').match(new RegExp(`.{1,${PEM_WIDTH}}`, 'g')) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

/** The last certificate of the chain that a peer showed; undefined if it showed none that vouches for itself. */
function rootOf(first: DetailedPeerCertificate | undefined): DetailedPeerCertificate | undefined {
  let at = first;
  for (let n = 0; at?.raw !== undefined && n < MAX_CHAIN; n++) {
    const issuer: DetailedPeerCertificate | undefined = at.issuerCertificate;
    if (issuer !== undefined && issuer.fingerprint256 === at.fingerprint256) return at;
    at = issuer;
  }
  return undefined;
}

/** Writes the peer's authority to `path`, which must not exist. Throws `WeftError` in any case: the connection is over. */
export function adoptAuthority(shown: DetailedPeerCertificate, path: string, log: ModuleLog): never {
  const root = rootOf(shown);
  if (root === undefined) {
    throw new WeftError('no-authority', 'could not bootstrap CA cert: the peer showed no self-signed one', {
      remedy: 'have the server send it with --peer-ca-cert, or give it with --ca-cert',
    });
  }
  try {
    writeFileSync(path, pem(root.raw), { flag: 'wx', mode: 0o444 });
  } catch (cause) {
    throw new WeftError('no-tls-file', `could not bootstrap CA cert: ${path}: ${reasonOf(cause)}`, { cause });
  }
  log.info(`successfully bootstrapped CA cert to ${path}`);
  throw new WeftError('authority-adopted', `CA cert bootstrapped to ${path}; connecting anew`);
}
