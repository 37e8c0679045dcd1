-- Who is in each audience of data/clickstream.yaml at `instant()`, written by hand from the words of the
-- audience. `seen` holds the events up to then: usr, t, seq (the order of arrival), name, session,
-- platform, channel, cohort, lifecycle; the last two as the user's profile stood then.

-- audience: active-week
SELECT usr FROM seen WHERE t > instant() - INTERVAL 168 HOUR GROUP BY usr HAVING count(*) >= 10;

-- audience: recent-purchasers
SELECT usr FROM seen WHERE name = 'purchase' GROUP BY usr HAVING max(t) > instant() - INTERVAL 30 DAY;

-- audience: purchasers
SELECT DISTINCT usr FROM seen WHERE name = 'purchase';

-- audience: repeat-purchasers
SELECT usr FROM seen WHERE name = 'purchase' AND t > instant() - INTERVAL 60 DAY GROUP BY usr HAVING count(*) > 1;

-- audience: mobile-carts
SELECT DISTINCT usr FROM seen
WHERE name = 'add_to_cart' AND platform = 'mobile' AND t > instant() - INTERVAL 14 DAY;

-- audience: paid-visitors
SELECT usr FROM seen WHERE channel = 'paid_search' GROUP BY usr HAVING count(*) >= 50;

-- audience: abandoned-carts
SELECT usr FROM seen WHERE t > instant() - INTERVAL 3 DAY GROUP BY usr
HAVING bool_or(name = 'add_to_cart') AND NOT bool_or(name = 'purchase');

-- audience: window-shoppers
SELECT usr FROM seen GROUP BY usr
HAVING count(*) FILTER (name = 'product_view' AND t > instant() - INTERVAL 30 DAY) >= 20
   AND count(*) FILTER (name = 'purchase') = 0;

-- audience: hit-errors
SELECT DISTINCT usr FROM seen
WHERE name IN ('error_page', 'payment_error', 'checkout_bug') AND t > instant() - INTERVAL 7 DAY;

-- audience: many-sessions
SELECT usr FROM seen WHERE t > instant() - INTERVAL 30 DAY GROUP BY usr HAVING count(DISTINCT session) >= 4;

-- audience: searched-in-sessions
SELECT usr FROM seen WHERE name = 'search' GROUP BY usr HAVING count(DISTINCT session) >= 3;

-- audience: first-session-early
SELECT usr FROM (
  SELECT usr, session FROM seen WHERE name = 'home'
  QUALIFY row_number() OVER (PARTITION BY usr ORDER BY t, seq) = 1)
WHERE session LIKE 'sess\_000%' ESCAPE '\';

-- audience: last-session-in-seven
SELECT usr FROM (
  SELECT usr, session FROM seen WHERE name = 'catalog' AND t > instant() - INTERVAL 21 DAY
  QUALIFY row_number() OVER (PARTITION BY usr ORDER BY t DESC, seq DESC) = 1)
WHERE right(session, 1) = '7';

-- audience: loyal
SELECT DISTINCT usr FROM seen WHERE lifecycle = 'loyal';

-- audience: march-newcomers
SELECT DISTINCT usr FROM seen WHERE lifecycle <> 'loyal' AND cohort = '2024-03';

-- audience: loyal-but-silent
SELECT usr FROM seen WHERE lifecycle = 'loyal' GROUP BY usr HAVING max(t) <= instant() - INTERVAL 7 DAY;

-- audience: march-promotions
SELECT DISTINCT usr FROM seen WHERE name = 'promo_page' AND year(t) = 2024 AND month(t) = 3;

-- audience: late-march-promotions
SELECT DISTINCT usr FROM seen
WHERE name = 'promo_page' AND month(t) = 3 AND day(t) >= 15 AND year(t) = 2024 AND t > instant() - INTERVAL 20 DAY;

-- audience: searchers
SELECT usr FROM seen WHERE name = 'search' AND platform <> 'tablet' AND t > instant() - INTERVAL 20 DAY
GROUP BY usr HAVING count(*) >= 3;

-- audience: helped-purchasers
SELECT usr FROM seen GROUP BY usr HAVING bool_or(name = 'purchase') AND bool_or(name = 'support_chat');

-- audience: bought-a-while-ago
SELECT DISTINCT usr FROM seen
WHERE name = 'purchase' AND t <= instant() - INTERVAL 10 DAY AND t > instant() - INTERVAL 40 DAY;

-- audience: dormant
SELECT usr FROM seen GROUP BY usr HAVING max(t) <= instant() - INTERVAL 14 DAY;

-- audience: from-letters
SELECT usr FROM seen WHERE channel IN ('email', 'social') AND t > instant() - INTERVAL 45 DAY
GROUP BY usr HAVING count(*) >= 10;

-- audience: even-sessions
SELECT usr FROM seen GROUP BY usr
HAVING count(*) FILTER (name = 'product_view' AND t > instant() - INTERVAL 10 DAY
                        AND right(session, 1) IN ('0', '2', '4', '6', '8')) <= 2;

-- audience: no-trouble
SELECT usr FROM seen GROUP BY usr
HAVING count(*) FILTER (name IN ('error_page', 'payment_error', 'checkout_bug') AND t > instant() - INTERVAL 7 DAY) = 0
   AND count(*) FILTER (name = 'support_chat' AND t > instant() - INTERVAL 30 DAY) = 0;
