package node
import ("testing";"fmt";"time")
func dbg(t *testing.T, n *Node){ for range 5 { fmt.Println(n.archive.Frontier(), n.writer.ledger.Pending()); time.Sleep(20*time.Millisecond)} }
