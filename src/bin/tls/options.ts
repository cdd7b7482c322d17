/** The options of a daemon that speaks TLS. */
import type { OptionSpec } from '../daemon/options.ts';
import type { TlsNames } from './files.ts';

export const TLS_OPTIONS: readonly OptionSpec[] = [
  { name: 'private-key', short: 'p', value: 'required', valueName: 'FILE', help: 'file with private key' },
  { name: 'certificate', short: 'c', value: 'required', valueName: 'FILE', help: 'file with certificate' },
  {
    name: 'ca-cert',
    short: 'C',
    value: 'required',
    valueName: 'FILE',
    help: 'file with peer CA certificate',
  },
  {
    name: 'bootstrap-ca-cert',
    value: 'required',
    valueName: 'FILE',
    help: 'as --ca-cert; made from what the first server shows if it is not there',
  },
  {
    name: 'peer-ca-cert',
    value: 'required',
    valueName: 'FILE',
    help: 'file with CA certificates to send to peers',
  },
  { name: 'ssl-protocols', value: 'required', valueName: 'PROTOS', help: 'protocol versions to allow' },
  { name: 'ssl-ciphers', value: 'required', valueName: 'CIPHERS', help: 'cipher suites to allow' },
];

/** What these options say; `value` gives an option's value, or undefined. */
export function tlsNamesFrom(value: (option: string) => string | undefined): TlsNames {
  const caCert = value('ca-cert');
  return {
    privateKey: value('private-key'),
    certificate: value('certificate'),
    caCert: caCert ?? value('bootstrap-ca-cert'),
    bootstrap: caCert === undefined,
    peerCaCert: value('peer-ca-cert'),
    protocols: value('ssl-protocols'),
    ciphers: value('ssl-ciphers'),
  };
}
