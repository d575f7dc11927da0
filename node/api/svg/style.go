package svg

// Colours of lanes, which repeat after the last.
const colours = 8

// style is all that the picture has of colour and type. A viewer that knows no
// media queries shows it light.
const style = `<style>
text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre}
tspan{unicode-bidi:isolate}
path{fill:none}
text{fill:#1f2328}.h{font:600 17px ui-sans-serif,system-ui,sans-serif}.s,.k{font:12.5px ui-sans-serif,system-ui,sans-serif}
.a{font-weight:600}.bg{fill:#fff;stroke:#d1d9e0}.z{fill:#f6f8fa}.ru{stroke:#d1d9e0}.ha{stroke:#fff;stroke-width:5}
.mu,.s,.k{fill:#59636e}.pa{fill:#57606a}.op{fill:#cf222e;font-weight:600}.se{fill:#9a6700}.ok{fill:#1a7f37}.hk{font-weight:600}
.ch{stroke-width:2.5}.ea{stroke-width:2.5;stroke-dasharray:1 5;stroke-linecap:round}.tr{stroke-width:1.5}.ca{stroke-dasharray:5 3}
.no{stroke:#fff;stroke-width:2}.ro{fill:none;stroke:#cf222e;stroke-width:2}.rs{fill:none;stroke:#bf8700;stroke-width:1.5;stroke-dasharray:3 2}
.f0{fill:#0969da}.f1{fill:#bc4c00}.f2{fill:#1a7f37}.f3{fill:#8250df}.f4{fill:#bf3989}.f5{fill:#0f766e}.f6{fill:#7d5a00}.f7{fill:#57606a}
.s0{stroke:#0969da}.s1{stroke:#bc4c00}.s2{stroke:#1a7f37}.s3{stroke:#8250df}.s4{stroke:#bf3989}.s5{stroke:#0f766e}.s6{stroke:#7d5a00}.s7{stroke:#57606a}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.bg{fill:#0d1117;stroke:#30363d}.z{fill:#151b23}.ru{stroke:#30363d}.ha{stroke:#0d1117}
.mu,.s,.k{fill:#9198a1}.pa{fill:#a5b0bb}.op{fill:#ff7b72}.se{fill:#d29922}.ok{fill:#3fb950}
.no{stroke:#0d1117}.ro{stroke:#ff7b72}.rs{stroke:#d29922}
.f0{fill:#58a6ff}.f1{fill:#f0883e}.f2{fill:#56d364}.f3{fill:#bc8cff}.f4{fill:#f778ba}.f5{fill:#39c5bb}.f6{fill:#e3b341}.f7{fill:#9198a1}
.s0{stroke:#58a6ff}.s1{stroke:#f0883e}.s2{stroke:#56d364}.s3{stroke:#bc8cff}.s4{stroke:#f778ba}.s5{stroke:#39c5bb}.s6{stroke:#e3b341}.s7{stroke:#9198a1}
}
</style>
`
