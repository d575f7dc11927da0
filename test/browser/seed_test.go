package browser

import (
	"fmt"
	"testing"
)

// seed publishes a few orders, as three authorities do.
func seed(t *testing.T, m *mesh) {
	t.Helper()
	warehouse, fleet, payments := m.members[0], m.members[1], m.members[2]
	for i := range 6 {
		order := fmt.Sprintf("order/%d", 1001+i)
		warehouse.publish(t, order, fmt.Sprintf(`{"customer":"Ada","items":{"lamp":%d},"state":"placed"}`, i+1))
		m.settle()
		payments.publish(t, order, `{"payment":{"amount":49.90,"state":"authorised"}}`)
		warehouse.publish(t, order, `{"state":"picked","shelf":"B7"}`)
		m.settle()
		fleet.publish(t, order, fmt.Sprintf(`{"delivery":{"eta":"tue","van":%d}}`, i))
		m.settle()
	}
}
