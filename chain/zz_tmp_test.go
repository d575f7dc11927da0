package chain
import "testing"
func TestZZ(t *testing.T){ r,_:=DecodeRun(shownBytes(t,"run")); n:=len(r.Append(nil)); for _,e:=range r.Entries{ n-=len(e.Header)+len(e.Body)+4}; t.Log("run overhead", n) }
