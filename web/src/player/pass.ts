// The token in the addresses of a session's media, which a heartbeat may replace while the film plays.
import type { Manifests } from '../api/answers'

/** A session's token. */
export class Pass {
  private token: string | null = null

  /** From now on the token of these manifests counts. */
  renew(manifests: Manifests): void {
    const tokens = Object.values(manifests).map((url) => TOKEN.exec(url)?.[2])
    this.token = tokens.find((token) => token !== undefined) ?? this.token
  }

  /**
   * An address as it is to be asked for now: its first path segment is the token, and nothing else of it changes. A
   * place that verifies tokens of another kind keeps the one that it was given.
   */
  now(url: string): string {
    const { token } = this
    if (token === null) return url
    return url.replace(TOKEN, (whole, start: string, old: string) => (kind(old) === kind(token) ? `${start}/~${token}/` : whole))
  }
}

/** Which nodes verify a token: `m1`, `m2`. */
function kind(token: string): string {
  return token.slice(0, token.indexOf('.'))
}

/** The origin, and the token behind it. */
const TOKEN = /^(https?:\/\/[^/?#]+)\/~([^/?#]+)\//
