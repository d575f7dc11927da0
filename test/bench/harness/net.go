package harness

import (
	"fmt"
	"net"
)

// FreePorts finds n loopback TCP ports that are free now.
func FreePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

// Loopback is the address of a port.
func Loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
