// Where a film may be fetched from, in the order to try.
import type { Playback } from '../api/answers'
import type { Format } from '../player/engine'

/** One place that carries the film. */
export interface Source {
  /** The place's name; `null` for the one that the session was given first, and for all of them at once. */
  name: string | null
  url: string
  /** Whether the manifest names all places, of which the player takes one after another. */
  steered: boolean
}

/** The places that offer a format, each address once: all of them in one manifest, then one by one. */
export function sources({ manifests, steered, alternatives }: Playback, format: Format): Source[] {
  const given = [
    { name: null, manifests: steered, steered: true },
    { name: null, manifests, steered: false },
    ...alternatives.map((place) => ({ ...place, steered: false })),
  ]
  const all = given.flatMap(({ name, manifests, steered }) => {
    const url = manifests[format]
    return url === undefined ? [] : [{ name, url, steered }]
  })
  return all.filter(({ url }, at) => all.findIndex((other) => other.url === url) === at)
}

/** What a viewer should know about the place that plays; `null` when it is the first one, or the player's choice. */
export function notice(all: readonly Source[], at: number): string | null {
  const first = all.find(({ steered }) => !steered)
  const used = all[at]
  if (first === undefined || used === undefined || used === first || used.steered) return null
  if (first.url.startsWith('https:') && used.url.startsWith('http:')) {
    return (
      'This browser could not open a secure connection, most likely because it does not trust the ' +
      'certificate. The film comes over plain HTTP/1.1 instead.'
    )
  }
  return `The first node did not answer. The film comes from ${used.name ?? 'another one'} instead.`
}

/** The same path on the host of another address: a still of the film, say, from the place that plays it. */
export function onHostOf(url: string, host: string): string {
  try {
    const { pathname, search } = new URL(url)
    return new URL(host).origin + pathname + search
  } catch {
    return url
  }
}
