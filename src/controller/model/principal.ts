/** Who asks, and what they may see. */
export type Principal =
  | { readonly role: 'operator' }
  /** Sees and touches what belongs to one tenant, by its UUID. */
  | { readonly role: 'tenant'; readonly tenant: string }
  /** The agent of a transport node, by its systemId: has no business in the API. */
  | { readonly role: 'node'; readonly node: string };

export const OPERATOR: Principal = { role: 'operator' };

/** Whether objects of `tenant` (undefined: the operator's) exist as far as `principal` can tell. */
export function sees(principal: Principal, tenant: string | undefined): boolean {
  if (principal.role === 'operator') return true;
  return principal.role === 'tenant' && tenant === principal.tenant;
}
