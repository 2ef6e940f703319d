// Entry of the list of films, `/`.
import { mount } from 'svelte'
import '../page.css'
import Films from './Films.svelte'

const target = document.getElementById('page')
if (target !== null) mount(Films, { target })
