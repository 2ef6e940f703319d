// Licences of a protected film: where a player asks for them, and the token that it shows there.

/** What the API says of licences. */
export interface Offer {
  /** `clearkey`, `widevine`, … */
  system: string
  url: string
  token: string
  renewal: { url: string; token: string }
}

/** The systems as browsers name them, the strongest first. */
export const KEY_SYSTEMS: Readonly<Record<string, string>> = {
  widevine: 'com.widevine.alpha',
  playready: 'com.microsoft.playready',
  clearkey: 'org.w3.clearkey',
}

/** A session's licences. */
export class Licences {
  /** The system's name in this browser. */
  readonly keySystem: string
  readonly url: string
  private received_ms: number
  /** Whether the token was shown before. */
  private shown = false
  private renewing: Promise<void> | null = null

  /** `renew` gets the next offer for a place in the film; `now_ms` is a clock that only rises. */
  constructor(
    private offer: Offer,
    private readonly renew: (renewal: Offer['renewal'], position_s: number) => Promise<Offer>,
    private readonly now_ms: () => number = () => performance.now(),
  ) {
    this.keySystem = KEY_SYSTEMS[offer.system] ?? offer.system
    this.url = offer.url
    this.received_ms = now_ms()
  }

  /**
   * A token to show now: each is shown once, and only soon after it came. A viewer's clock may be wrong, so that how
   * long a token is good is not read from it.
   */
  async token(position_s: number): Promise<string> {
    while (this.shown || this.now_ms() - this.received_ms > FRESH_MS) {
      this.renewing ??= this.next(position_s).finally(() => (this.renewing = null))
      await this.renewing
    }
    this.shown = true
    return this.offer.token
  }

  private async next(position_s: number): Promise<void> {
    this.offer = await this.renew(this.offer.renewal, position_s)
    this.received_ms = this.now_ms()
    this.shown = false
  }
}

/** The systems that this browser has, by the names of the API. Pages that are not secure have none. */
export async function systemsHere(): Promise<string[]> {
  const ask = navigator.requestMediaKeySystemAccess?.bind(navigator)
  if (ask === undefined) return []
  const video = [{ contentType: 'video/mp4; codecs="avc1.42E01E"' }]
  const wanted = [{ initDataTypes: ['cenc'], videoCapabilities: video }]
  const found = Object.entries(KEY_SYSTEMS).map(async ([system, name]) => {
    const has = await ask(name, wanted).then(
      () => true,
      () => false,
    )
    return has ? [system] : []
  })
  return (await Promise.all(found)).flat()
}

const FRESH_MS = 3000
