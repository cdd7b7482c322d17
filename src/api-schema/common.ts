/** The values that several kinds of objects share, with the limits that hold for each. */
import Type, { type Static, type TObject, type TProperties } from 'typebox';

/** RFC 9562, in lower case as the API writes it; either case is read. */
export const Id = Type.String({
  format: 'uuid',
  description: 'UUID; made by the server unless given',
});

export const Name = Type.String({
  minLength: 1,
  maxLength: 128,
  pattern: '^[^\\s/](?:[^\\n\\r/]*[^\\s/])?$',
  description:
    'Up to 128 characters; no slash, no line break, no space at either end. Unique among its siblings',
});

export const Description = Type.Optional(
  Type.String({ maxLength: 1024, description: 'Free text for people' }),
);

export const Tags = Type.Optional(
  Type.Record(
    Type.String({ pattern: '^(?!__proto__$)[^\\u0000-\\u001f\\u007f]{1,64}$' }),
    Type.String({ maxLength: 256 }),
    {
      additionalProperties: false,
      maxProperties: 32,
      description: 'Words of your own, for filters and for the systems above; names of up to 64 characters',
    },
  ),
);

export const Mac = Type.String({
  pattern: '^[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}$',
  description: 'Unicast MAC address, such as "02:00:00:00:00:01"',
});

/** IPv4 or IPv6, without prefix length. What it may be (unicast, ...) the model checks, and says so. */
export const Address = Type.String({ minLength: 2, maxLength: 45, description: 'IPv4 or IPv6 address' });

export const Prefix = Type.String({
  minLength: 4,
  maxLength: 49,
  description: 'Network in CIDR notation, such as "10.0.0.0/24" or "fd00::/64"',
});

/** A reference to another object, by its UUID. */
export function reference(kind: string) {
  return Type.String({ format: 'uuid', description: `UUID of a ${kind}` });
}

/** An object whose unknown members are refused, so that a slip of the pen is an error and not silence. */
export function strict<P extends TProperties>(properties: P, description: string): TObject<P> {
  return Type.Object(properties, { additionalProperties: false, description });
}

export type IdText = Static<typeof Id>;
