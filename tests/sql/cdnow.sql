-- Who is in each audience of data/cdnow.yaml at `instant()`, written by hand from the words of the audience.
-- `seen` holds the purchases up to then: usr, t, seq (the order of arrival), quantity, amount.

-- audience: recent-buyers
SELECT DISTINCT usr FROM seen WHERE t > instant() - INTERVAL 30 DAY;

-- audience: frequent-buyers
SELECT usr FROM seen WHERE t > instant() - INTERVAL 90 DAY GROUP BY usr HAVING count(*) >= 3;

-- audience: loyal
SELECT usr FROM seen GROUP BY usr HAVING count(*) >= 10;

-- audience: big-spenders
SELECT usr FROM seen GROUP BY usr HAVING sum(amount) >= 500;

-- audience: quarter-spenders
SELECT usr FROM (SELECT usr, sum(amount) AS spent FROM seen WHERE t > instant() - INTERVAL 90 DAY GROUP BY usr)
WHERE spent >= 100 AND spent < 300;

-- audience: dear-basket
SELECT DISTINCT usr FROM seen WHERE t > instant() - INTERVAL 180 DAY AND amount >= 150;

-- audience: never-cheap
SELECT DISTINCT usr FROM seen WHERE usr NOT IN (SELECT usr FROM seen WHERE amount < 20);

-- audience: high-average
SELECT usr FROM seen WHERE t > instant() - INTERVAL 365 DAY GROUP BY usr
HAVING sum(amount) > 50 * count(*) AND count(*) > 1;

-- audience: one-and-a-half-discs
SELECT usr FROM seen GROUP BY usr HAVING 2 * sum(quantity) <= 3 * count(*);

-- audience: varied-amounts
SELECT usr FROM seen WHERE t > instant() - INTERVAL 182 DAY GROUP BY usr HAVING count(DISTINCT amount) >= 5;

-- audience: began-big
SELECT usr FROM (SELECT usr, amount FROM seen QUALIFY row_number() OVER (PARTITION BY usr ORDER BY t, seq) = 1)
WHERE amount >= 50;

-- audience: last-took-one
SELECT usr FROM (SELECT usr, quantity FROM seen QUALIFY row_number() OVER (PARTITION BY usr ORDER BY t DESC, seq DESC) = 1)
WHERE quantity = 1;

-- audience: last-of-the-season
SELECT usr FROM (
  SELECT usr, amount FROM seen WHERE t > instant() - INTERVAL 100 DAY AND t <= instant() - INTERVAL 10 DAY
  QUALIFY row_number() OVER (PARTITION BY usr ORDER BY t DESC, seq DESC) = 1)
WHERE amount > 30;

-- audience: lapsed
SELECT usr FROM seen GROUP BY usr HAVING max(t) <= instant() - INTERVAL 180 DAY;

-- audience: first-quarter
SELECT DISTINCT usr FROM seen WHERE year(t) = 1997 AND month(t) IN (1, 2, 3);

-- audience: christmas
SELECT usr FROM seen WHERE year(t) = 1997 AND month(t) = 12 GROUP BY usr HAVING sum(amount) >= 50;

-- audience: single-discs
SELECT usr FROM seen GROUP BY usr HAVING count(*) FILTER (quantity = 1) >= 3;

-- audience: many-discs
SELECT DISTINCT usr FROM seen WHERE quantity >= 5 AND amount <> 0 AND t > instant() - INTERVAL 60 DAY;

-- audience: free-discs
SELECT DISTINCT usr FROM seen WHERE amount = 0;

-- audience: once-only
SELECT usr FROM seen GROUP BY usr HAVING count(*) = 1;

-- audience: cooling
SELECT usr FROM seen WHERE t <= instant() - INTERVAL 30 DAY AND t > instant() - INTERVAL 120 DAY
GROUP BY usr HAVING count(*) BETWEEN 1 AND 2;

-- audience: later-and-recent
SELECT DISTINCT usr FROM seen WHERE t >= '1997-06-01' AND t < '1998-06-01' AND t > instant() - INTERVAL 45 DAY;

-- audience: vip
SELECT usr FROM seen GROUP BY usr HAVING count(*) >= 10 OR sum(amount) >= 500;

-- audience: vip-at-risk
SELECT usr FROM seen GROUP BY usr
HAVING (count(*) >= 10 OR sum(amount) >= 500) AND max(t) <= instant() - INTERVAL 30 DAY;

-- audience: common-few
SELECT usr FROM seen GROUP BY usr
HAVING count(*) IN (2, 3) AND sum(amount) < 500 AND min(amount) > 0 AND max(t) <= instant() - INTERVAL 14 DAY;
