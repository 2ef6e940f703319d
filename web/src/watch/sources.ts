// Where a film may be fetched from, in the order to try.
import type { Playback } from '../api/answers'
import type { Format } from '../player/engine'

/** One place that carries the film. */
export interface Source {
  /** The place's name; `null` for the one that the session was given first. */
  name: string | null
  url: string
}

/** The places that offer a format, each address once. */
export function sources({ manifests, alternatives }: Playback, format: Format): Source[] {
  const all = [{ name: null, manifests }, ...alternatives].flatMap(({ name, manifests }) => {
    const url = manifests[format]
    return url === undefined ? [] : [{ name, url }]
  })
  return all.filter(({ url }, at) => all.findIndex((other) => other.url === url) === at)
}

/** What a viewer should know about the place that plays; `null` when it is the first one. */
export function notice(all: readonly Source[], at: number): string | null {
  const [first] = all
  const used = all[at]
  if (first === undefined || used === undefined || at === 0) return null
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
