package main

import _ "github.com/tidings-mesh/tidings/node"
