/**
 * Which addresses workflows may call: global unicast ones, and what BATON_HTTP_ALLOW lets through. The lists are the IANA special-purpose
 * registries (RFC 6890 and its updates), the multicast and reserved blocks, and the metadata services of clouds.
 */
import ipaddr from 'ipaddr.js'

type Address = ipaddr.IPv4 | ipaddr.IPv6
type Range = [Address, number]

const BLOCKED_V4: readonly [string, string][] = [
  ['0.0.0.0/8', 'unspecified'],
  ['10.0.0.0/8', 'private'],
  ['100.64.0.0/10', 'carrier-grade NAT'],
  ['127.0.0.0/8', 'loopback'],
  ['169.254.0.0/16', 'link-local'],
  ['172.16.0.0/12', 'private'],
  ['192.0.0.0/24', 'reserved'],
  ['192.0.2.0/24', 'documentation'],
  ['192.31.196.0/24', 'reserved'],
  ['192.52.193.0/24', 'reserved'],
  ['192.88.99.0/24', '6to4 relay'],
  ['192.168.0.0/16', 'private'],
  ['192.175.48.0/24', 'reserved'],
  ['198.18.0.0/15', 'benchmarking'],
  ['198.51.100.0/24', 'documentation'],
  ['203.0.113.0/24', 'documentation'],
  ['224.0.0.0/4', 'multicast'],
  ['240.0.0.0/4', 'reserved'],
]

/** Inside 2000::/3; everything outside of it is refused anyway. */
const BLOCKED_V6: readonly [string, string][] = [
  ['2001::/32', 'Teredo'],
  ['2001::/23', 'reserved'],
  ['2001:db8::/32', 'documentation'],
  ['2002::/16', '6to4'],
  ['2620:4f:8000::/48', 'reserved'],
  ['3fff::/20', 'documentation'],
]

/** Names for what lies outside 2000::/3; the first that fits. */
const OUTSIDE_V6: readonly [string, string][] = [
  ['::/128', 'unspecified'],
  ['::1/128', 'loopback'],
  ['::ffff:0:0/96', 'IPv4-mapped'],
  ['::/96', 'IPv4-compatible'],
  ['64:ff9b::/96', 'NAT64'],
  ['64:ff9b:1::/48', 'NAT64'],
  ['100::/64', 'discard-only'],
  ['fc00::/7', 'unique local'],
  ['fe80::/10', 'link-local'],
  ['fec0::/10', 'site-local'],
  ['ff00::/8', 'multicast'],
]

/** Metadata services hand out credentials: only an entry for the very address lets one through, never a wider range. */
const METADATA = new Set([
  '169.254.169.254',
  '169.254.170.2',
  '169.254.169.123',
  '100.100.100.200',
  '168.63.129.16',
  '192.0.0.192',
  'fd00:ec2::254',
  'fd00:ec2::23',
  'fd20:ce::254',
])

/** The same by name; refused whatever they resolve to. */
const METADATA_NAMES = new Set(['metadata.google.internal', 'metadata.goog', 'metadata', 'instance-data', 'instance-data.ec2.internal'])

const parseAll = (list: readonly [string, string][]) => list.map(([cidr, reason]) => ({ range: ipaddr.parseCIDR(cidr) as Range, reason }))
const blockedV4 = parseAll(BLOCKED_V4)
const blockedV6 = parseAll(BLOCKED_V6)
const outsideV6 = parseAll(OUTSIDE_V6)
const globalUnicast = ipaddr.parseCIDR('2000::/3') as Range

/** What BATON_HTTP_ALLOW lets through. */
export interface AllowList {
  ranges: readonly Range[]
  names: ReadonlySet<string>
}

/** Reads entries like `10.0.0.0/8`, `127.0.0.1`, `::1` and `shop.internal`. Throws on what is neither an address, a CIDR nor a name. */
export function parseAllowList(entries: readonly string[]): AllowList {
  const ranges: Range[] = []
  const names = new Set<string>()
  for (const entry of entries) {
    const text = entry.trim().toLowerCase()
    if (ipaddr.isValidCIDR(text)) ranges.push(ipaddr.parseCIDR(text) as Range)
    else if (isAddress(text)) ranges.push([ipaddr.parse(text), text.includes(':') ? 128 : 32])
    else if (/^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\.?$/.test(text) && !/^[\d.]+$/.test(text)) names.add(text.replace(/\.$/, ''))
    else throw new Error(`BATON_HTTP_ALLOW: ${JSON.stringify(entry)} is neither an address, a CIDR nor a host name`)
  }
  return { ranges, names }
}

/** True for a plain IPv4 or IPv6 address in text. */
export function isAddress(text: string): boolean {
  return ipaddr.IPv4.isValidFourPartDecimal(text) || ipaddr.IPv6.isValid(text)
}

/** Why this name must not be called, whatever it resolves to; undefined when it may be looked up. */
export function refuseName(name: string, allow: AllowList): string | undefined {
  if (allow.names.has(name)) return undefined
  return METADATA_NAMES.has(name) ? 'a metadata service' : undefined
}

/** Why this address must not be called; undefined when it may. */
export function refuseAddress(text: string, allow: AllowList): string | undefined {
  if (text.includes('%') || !isAddress(text)) return 'not an address that can be judged'
  const address = ipaddr.parse(text)
  const plain =
    address.kind() === 'ipv6' && (address as ipaddr.IPv6).isIPv4MappedAddress() ? (address as ipaddr.IPv6).toIPv4Address() : address
  const exact = METADATA.has(plain.toString())
  if (allow.ranges.some(([base, bits]) => isWithin(plain, [base, bits]) && (!exact || bits === (plain.kind() === 'ipv4' ? 32 : 128))))
    return undefined
  if (exact) return 'a metadata service'
  if (address.kind() === 'ipv4') return find(address, blockedV4)
  if (!isWithin(address, globalUnicast)) return find(address, outsideV6) ?? 'reserved'
  return find(address, blockedV6)
}

function find(address: Address, list: readonly { range: Range; reason: string }[]): string | undefined {
  return list.find(({ range }) => isWithin(address, range))?.reason
}

function isWithin(address: Address, [base, bits]: Range): boolean {
  return address.kind() === base.kind() && (address as ipaddr.IPv4).match(base as ipaddr.IPv4, bits)
}
