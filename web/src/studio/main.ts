// Entry of the studio, `/studio`.
import { mount } from 'svelte'
import '../page.css'
import Studio from './Studio.svelte'

const target = document.getElementById('page')
if (target !== null) mount(Studio, { target })
