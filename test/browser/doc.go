// Package browser looks at the dashboard as people do: its tests drive Debian's
// Chromium, without a window, over the DevTools protocol, against a mesh of three
// nodes in this process. The mesh talks over a network in memory, which can be
// cut; the pages come over real HTTP on loopback. Where there is no Chromium they
// are left out.
//
// With -pictures DIR they leave what they saw there. The pictures of the docs are
// two of them.
package browser
