// Entry of the watch page, `/watch?v={video}&format={format}`.
import { mount } from 'svelte'
import '../page.css'
import { FORMATS } from '../player/engine'
import Watch from './Watch.svelte'

const query = new URLSearchParams(location.search)
const format = FORMATS.find(({ id }) => id === query.get('format'))?.id ?? 'hls'
const target = document.getElementById('page')
if (target !== null) mount(Watch, { target, props: { video: query.get('v') ?? '', format } })
